"""The model stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tenfold
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.data.dataset import read_arrays, read_split
from tenfold.training.model_folder import read_model_folder


def test_the_model_is_the_one_that_was_tested(run_stage: Callable[..., Path]) -> None:
    folder = run_stage("model")
    run_folder = folder.parent
    acquired = AcquireRecord.read(run_folder / "acquire" / "record.json")
    evaluate = EvaluateRecord.read(run_folder / "evaluate" / "record.json")
    record = read_model_folder(run_folder).record
    assert record.classes == acquired.classes
    assert record.image_shape == (*acquired.image_size_px, acquired.channels)
    assert record.data.test_sha256 == acquired.test_sha256
    assert record.precision == "float32"
    assert record.scores is not None
    assert record.scores.accuracy.value == evaluate.scores.accuracy
    assert record.scores.accuracy.interval == evaluate.intervals.accuracy


def test_it_says_what_it_answered_on_the_test_images(run_stage: Callable[..., Path]) -> None:
    folder = run_stage("model")
    record = read_model_folder(folder).record
    assert record.guarantees is not None
    kept = record.guarantees.on_test
    assert kept is not None
    path = folder.parent / "evaluate" / "predictions.npz"
    probabilities = read_arrays(path)["probabilities"]
    places = probabilities.argmax(axis=1).tolist()
    assert list(kept.class_counts) == [places.count(n) for n in range(len(record.classes))]
    assert sum(kept.confidence_counts) == len(places)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_predicting_the_test_split_gives_the_evaluated_probabilities(
    precision: str, run_stage: Callable[..., Path]
) -> None:
    run_folder = run_stage(
        "model", {"training.precision": precision, "training.validation_fraction": 0.2}
    ).parent
    test = read_split(run_folder / "acquire", "test")
    classifier = tenfold.load(run_folder)
    assert classifier.temperature_ is not None
    evaluated = read_arrays(run_folder / "evaluate" / "predictions.npz")["probabilities"]
    assert np.abs(classifier.predict_proba(test.images) - evaluated).max() <= 1e-7


def test_nothing_of_the_run_folder_is_needed(
    run_stage: Callable[..., Path], tmp_path: Path
) -> None:
    import shutil

    folder = run_stage("model")
    shutil.move(folder, tmp_path / "elsewhere")
    shutil.rmtree(folder.parent)
    assert tenfold.load(tmp_path / "elsewhere").classes_.tolist() == ["dark", "gray", "light"]


def test_no_place_of_this_machine_is_in_it(run_stage: Callable[..., Path], tmp_path: Path) -> None:
    folder = run_stage("model")
    for path in folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name


def test_the_card_has_scores_data_and_limits(run_stage: Callable[..., Path]) -> None:
    folder = run_stage("model")
    card = (folder / "README.md").read_text()
    for text in ("## Scores", "| Accuracy | ", "## Data", "## Training", "## Limits", "dark"):
        assert text in card
