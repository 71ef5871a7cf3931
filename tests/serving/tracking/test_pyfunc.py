"""A model folder as MLflow's function of Python: what `tenfold predict` answers, as a table."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError, ImageShapeError
from tenfold.serving.prediction import Predicted
from tenfold.serving.tracking.pyfunc import COLUMNS, TrackedModel, _load_pyfunc

pandas = pytest.importorskip("pandas")
pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def model(made_study: Path) -> TrackedModel:
    return _load_pyfunc(str(made_study / "model"))


@pytest.fixture
def files(made_study: Path) -> list[Path]:
    return sorted((made_study.parent / "images" / "test").rglob("*.png"))[::6]


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_it_answers_as_predict_does(
    model: TrackedModel, files: list[Path], made_study: Path, tenfold: Callable[..., Any]
) -> None:
    result = tenfold("predict", made_study, *files, "--json", "--top", 4)
    expected = [json.loads(line) for line in result.out.splitlines()]
    found = model.predict([str(path) for path in files])
    assert tuple(found.columns) == COLUMNS
    assert len(found) == len(files) == len(expected)
    for line, (_, row) in zip(expected, found.iterrows(), strict=True):
        assert row["image"] == line["image"]
        assert row["class"] == line["class"]
        assert row["probability"] == line["probability"]
        assert row["set"] == line.get("set")
        assert row["unlike"] == line.get("unlike")
        by_class = dict(zip(model.classes, row["probabilities"], strict=True))
        assert by_class == {one["class"]: one["probability"] for one in line["top"]}


def test_sets_and_marks_are_in_the_table(
    model: TrackedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = np.array([0.2, 0.1, 0.6, 0.1], np.float32)
    one = Predicted("a.png", shares, members=(2, 0), is_unlike=True)
    monkeypatch.setattr("tenfold.serving.tracking.pyfunc.predict_files", lambda *_: iter([one]))
    (row,) = model.predict(["a.png"]).to_dict("records")
    names = model.classes
    assert row["set"] == [names[2], names[0]]
    assert row["class"] == names[2]
    assert row["unlike"] is True
    assert row["probabilities"] == [0.2, 0.1, 0.6, 0.1]


def test_files_are_taken_in_every_form(model: TrackedModel, files: list[Path]) -> None:
    expected = model.predict(files)["probabilities"].tolist()
    texts = [str(path) for path in files]
    for given in (
        texts,
        [path.read_bytes() for path in files],
        [data_url(path.read_bytes()) for path in files],
        np.array(texts),
        pandas.Series(texts),
        pandas.DataFrame({"photo": texts}),
        pandas.DataFrame({"id": range(len(texts)), "path": texts}),
    ):
        assert model.predict(given)["probabilities"].tolist() == expected
    (alone,) = model.predict(texts[0])["probabilities"]
    assert alone == pytest.approx(expected[0], abs=1e-6)  # a batch of its own
    assert len(model.predict([])) == 0


def test_pixels_of_the_models_size_are_taken(model: TrackedModel, files: list[Path]) -> None:
    images = np.stack([np.asarray(Image.open(path)) for path in files])
    expected = model.predict(files)
    for given in (images, images.astype(np.int64), list(images)):
        found = model.predict(given)
        assert found["image"].tolist() == [str(place) for place in range(len(files))]
        assert found["probabilities"].tolist() == expected["probabilities"].tolist()
        assert found["unlike"].tolist() == expected["unlike"].tolist()


def test_what_cannot_be_read_has_a_reason(
    model: TrackedModel, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    given = [str(files[0]), str(tmp_path / "broken.png"), str(tmp_path), str(tmp_path / "none")]
    given += ["data:image/png;base64,no!", "data:,", data_url(b"no image")]
    found = model.predict(given)
    assert [bool(reason) for reason in found["error"]] == [False] + [True] * 6
    assert found["probabilities"].notna().tolist() == [True] + [False] * 6
    values = found.to_dict("records")[1]
    assert {values[name] for name in COLUMNS[2:]} == {None}  # NaN is no JSON
    assert model.predict(given[:1])["probability"].dtype == np.float64


def test_what_is_no_image_is_said(model: TrackedModel, files: list[Path]) -> None:
    with pytest.raises(DataError, match="a, b"):
        model.predict(pandas.DataFrame({"a": ["x"], "b": ["y"]}))
    with pytest.raises(DataError, match="Image 1 of 2"):
        model.predict([files[0], 3])
    with pytest.raises(DataError):
        model.predict([1, 2])
    with pytest.raises(ImageShapeError):
        model.predict(np.zeros((2, 9, 9, 3), np.uint8))
