from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.records.acquire import AcquireRecord
from tenfold.core.records.evaluate import EvaluateRecord
from tenfold.data.split_files import read_arrays, read_split
from tenfold.metrics.classification import classification_scores

RunStage = Callable[..., Path]


def test_scores_every_test_image(run_stage: RunStage) -> None:
    folder = run_stage("evaluate", {"tune.is_enabled": False})
    predictions = read_arrays(folder / "predictions.npz")
    test = read_split(folder.parent / "acquire", "test")
    assert np.array_equal(predictions["labels"], test.labels)
    assert predictions["probabilities"].shape == (len(test), 3)
    assert predictions["probabilities"].sum(1) == pytest.approx(np.ones(len(test)), abs=1e-5)
    record = EvaluateRecord.read(folder / "record.json")
    classes = AcquireRecord.read(folder.parent / "acquire" / "record.json").classes
    assert record.scores == classification_scores(
        test.labels, predictions["probabilities"], classes
    )
    assert record.images_per_second > 0


def test_says_which_weights_it_scored(run_stage: RunStage) -> None:
    folder = run_stage("evaluate", {"tune.is_enabled": False, "training.weights": "best"})
    assert EvaluateRecord.read(folder / "record.json").weights == "best"
