"""Explanations of a model's predictions, and their page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenfold.classifier import classifier_of
from tenfold.core.errors import DataError
from tenfold.serving.explanation import NEIGHBOURS, Explainer, ExplanationPage
from tenfold.serving.prediction import Predicted
from tenfold.training.model_folder import read_model_folder

pytestmark = pytest.mark.usefixtures("one_core")

FolderMaker = Callable[..., Path]
NAMES = ("<b>dark</b>", "gray", "light")


def kept_images() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Give the training images that `make_model_folder` keeps."""
    return np.random.default_rng(2).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)


def explainer_of(folder: Path) -> Explainer:
    packaged = read_model_folder(folder)
    return Explainer.of(classifier_of(packaged, device="cpu"), packaged)


def test_a_training_image_resembles_itself(make_model_folder: FolderMaker) -> None:
    images = kept_images()
    explained = explainer_of(make_model_folder()).explain(images, np.zeros(12, np.int64))
    for place, one in enumerate(explained):
        assert one.heat is not None
        assert one.heat.shape == (8, 8)
        assert len(one.neighbours) == NEIGHBOURS
        nearest = one.neighbours[0]
        assert nearest.place == place
        assert nearest.label == place % 3
        assert nearest.similarity == pytest.approx(1, abs=1e-2)
        assert (nearest.thumbnail == images[place]).all()


def test_a_model_without_training_images_has_heat_alone(make_model_folder: FolderMaker) -> None:
    folder = make_model_folder(kept_images=0)
    (one,) = explainer_of(folder).explain(kept_images()[:1], np.zeros(1, np.int64))
    assert one.heat is not None
    assert one.neighbours == ()


class TestPage:
    def predicted(self, count: int) -> list[Predicted]:
        return [
            Predicted(f"{number}<i>.png", np.array([0.2, 0.5, 0.3], np.float32), pixels=image)
            for number, image in enumerate(np.resize(kept_images(), (count, 8, 8, 3)))
        ]

    def test_it_grows_while_images_come(
        self, make_model_folder: FolderMaker, tmp_path: Path
    ) -> None:
        folder = make_model_folder(NAMES)
        explainer, record = explainer_of(folder), read_model_folder(folder).record
        with ExplanationPage.in_folder(tmp_path / "why", record, 2) as page:
            for result in self.predicted(70):
                page.add(result, explainer)
            assert not (tmp_path / "why" / "index.html").exists()
        text = (tmp_path / "why" / "index.html").read_text()
        assert text.count("<section") == 70
        assert "<b>dark" not in text
        assert "<i>.png" not in text
        assert "70 images." in text
        pictures = {path.name for path in (tmp_path / "why" / "explained_images").iterdir()}
        assert {"000001.png", "000070_heat.png", "train_000000.png"} <= pictures
        assert len(pictures) <= 2 * 70 + 12

    def test_it_is_written_over_its_like_and_over_nothing_else(
        self, make_model_folder: FolderMaker, tmp_path: Path
    ) -> None:
        record = read_model_folder(make_model_folder()).record
        with (
            pytest.raises(KeyboardInterrupt),
            ExplanationPage.in_folder(tmp_path / "why", record, 2),
        ):
            raise KeyboardInterrupt
        for _ in range(2):
            with ExplanationPage.in_folder(tmp_path / "why", record, 2):
                pass
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "letter.txt").write_text("")
        for place, message in (("mine", "not empty"), ("mine/letter.txt", "is a file")):
            with (
                pytest.raises(DataError, match=message),
                ExplanationPage.in_folder(tmp_path / place, record, 2),
            ):
                pass
        assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
