"""Scores of the test split and what lies beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.core.records.training import TrainRecord
from tenfold.data.dataset import read_arrays, read_split
from tenfold.evaluation.calibration import calibration_scores
from tenfold.evaluation.scores import classification_scores

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


def test_probabilities_are_calibrated_by_the_train_stage_s_temperature(
    run_stage: RunStage,
) -> None:
    folder = run_stage("evaluate", {"tune.is_enabled": False})
    train = TrainRecord.read(folder.parent / "train" / "record.json")
    record = EvaluateRecord.read(folder / "record.json")
    assert record.calibration.temperature == train.temperature is not None
    stored = read_arrays(folder / "predictions.npz")
    assert record.calibration.after == calibration_scores(stored["probabilities"], stored["labels"])
    assert record.calibration.before != record.calibration.after
    assert record.scores.log_loss == record.calibration.after.log_loss


def test_without_validation_images_probabilities_are_plain(run_stage: RunStage) -> None:
    folder = run_stage("evaluate", {"tune.is_enabled": False, "training.validation_fraction": 0})
    calibration = EvaluateRecord.read(folder / "record.json").calibration
    assert calibration.temperature is None
    assert calibration.before == calibration.after


def test_the_gallery_s_images_are_those_of_the_test_split(run_stage: RunStage) -> None:
    folder = run_stage("evaluate", {"tune.is_enabled": False})
    test = read_split(folder.parent / "acquire", "test")
    gallery = read_arrays(folder / "gallery.npz")
    assert np.array_equal(gallery["images"], test.images[gallery["shown"]])
    predicted = read_arrays(folder / "predictions.npz")["probabilities"].argmax(axis=1)
    assert (predicted != test.labels)[gallery["mistakes"]].all()
    assert len(gallery["mistakes"]) == (predicted != test.labels).sum()


def test_robustness_is_measured_on_so_many_images_or_not_at_all(run_stage: RunStage) -> None:
    folder = run_stage("evaluate", {"tune.is_enabled": False, "evaluate.robustness_images": 3})
    robustness = EvaluateRecord.read(folder / "record.json").robustness
    assert robustness is not None
    assert robustness.count == 3
    none = run_stage(
        "evaluate",
        {"tune.is_enabled": False, "evaluate.robustness_images": 0},
        out=folder.parent.with_name("none"),
    )
    assert EvaluateRecord.read(none / "record.json").robustness is None


def test_the_same_study_gives_the_same_intervals(run_stage: RunStage, tmp_path: Path) -> None:
    records = [
        EvaluateRecord.read(
            run_stage("evaluate", {"tune.is_enabled": False}, out=tmp_path / name) / "record.json"
        )
        for name in ("a", "b")
    ]
    assert records[0].intervals == records[1].intervals
    assert records[0].calibration == records[1].calibration


def test_test_time_augmentation_is_scored_apart_or_not_at_all(run_stage: RunStage) -> None:
    changes = {"tune.is_enabled": False, "evaluate.robustness_images": 0}
    folder = run_stage("evaluate", changes)
    record = EvaluateRecord.read(folder / "record.json")
    assert record.with_views is not None
    assert (record.with_views.views, record.with_views.is_mirrored) == (2, True)
    none = run_stage(
        "evaluate",
        changes | {"evaluate.test_time_augmentation": "none"},
        out=folder.parent.parent / "none",
    )
    plain = EvaluateRecord.read(none / "record.json")
    assert plain.with_views is None
    assert plain.scores == record.scores


def test_disturbs_a_part_of_the_test_images_where_training_cost_little(
    run_stage: RunStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.study.stages.evaluate.images_in_proportion", lambda _train: 3)
    few = run_stage("evaluate", {"tune.is_enabled": False})
    all_of_them = run_stage(
        "evaluate",
        {"tune.is_enabled": False, "evaluate.is_thorough": True},
        out=few.parent.with_name("all"),
    )
    records = [EvaluateRecord.read(folder / "record.json") for folder in (few, all_of_them)]
    counts = [one.robustness.count for one in records if one.robustness is not None]
    assert counts == [3, records[0].scores.count]
    assert records[0].scores == records[1].scores
