"""A saved classifier, loaded, is the same classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenfold
from tenfold import ImageClassifier
from tenfold.core.errors import ModelFolderError


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)


def images(count: int = 40) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(3).integers(0, 256, (count, 8, 8, 3), np.uint8)


def fitted(labels: Any, **parameters: Any) -> ImageClassifier:
    X = images()
    X[::2] //= 2
    return ImageClassifier(
        "cnn",
        model_settings={"conv_layers": 1, "filters": [4], "units": 8},
        epochs=2,
        least_steps=0,
        batch_size=8,
        device="cpu",
        random_state=0,
        **parameters,
    ).fit(X, labels)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["cat", "dög"] * 20, "U"),
        ([3, 7] * 20, "i"),
        ([True, False] * 20, "b"),
        ([1.0, 2.0] * 20, "f"),
    ],
    ids=["text", "whole", "bool", "float"],
)
def test_it_predicts_the_same(labels: list[Any], kind: str, tmp_path: Path) -> None:
    classifier = fitted(labels)
    classifier.save(tmp_path / "model")
    loaded = tenfold.load(tmp_path / "model", device="cpu")
    X = images(10)
    assert (loaded.predict_proba(X) == classifier.predict_proba(X)).all()
    assert loaded.classes_.dtype.kind == kind
    assert (loaded.predict(X) == classifier.predict(X)).all()
    assert loaded.score(X, classifier.predict(X)) == 1
    assert loaded.image_shape_ == (8, 8, 3)
    assert loaded.get_params()["batch_size"] == 8


def test_a_temperature_is_fitted_on_validation_images_and_used(tmp_path: Path) -> None:
    assert fitted([0, 1] * 20, validation_fraction=0.0).temperature_ is None
    classifier = fitted([0, 1] * 20, validation_fraction=0.5)
    assert classifier.temperature_ is not None
    classifier.save(tmp_path / "model")
    loaded = tenfold.load(tmp_path / "model")
    assert loaded.temperature_ == classifier.temperature_
    X = images(10)
    calibrated = classifier.predict_proba(X)
    assert (loaded.predict_proba(X) == calibrated).all()
    classifier.temperature_ = None
    assert np.abs(classifier.predict_proba(X) - calibrated).max() > 1e-4


def test_a_loaded_model_is_saved_as_it_was(tmp_path: Path) -> None:
    fitted([0, 1] * 20).save(tmp_path / "one")
    tenfold.load(tmp_path / "one").save(tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_loaded_classifier_can_be_fitted_again(tmp_path: Path) -> None:
    fitted([0, 1] * 20).save(tmp_path / "model")
    loaded = tenfold.load(tmp_path / "model").fit(images(), ["a", "b"] * 20)
    assert loaded.classes_.tolist() == ["a", "b"]
    loaded.save(tmp_path / "model")
    assert tenfold.load(tmp_path / "model").classes_.tolist() == ["a", "b"]


def test_labels_that_json_does_not_know_come_back_as_text(tmp_path: Path) -> None:
    classifier = fitted(np.array([None, "x"] * 20, dtype=object).astype(str))
    classifier.save(tmp_path / "model")
    assert tenfold.load(str(tmp_path / "model")).classes_.tolist() == ["None", "x"]


def test_no_model_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="is no model folder"):
        tenfold.load(tmp_path)
