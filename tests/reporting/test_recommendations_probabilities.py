"""Advice from calibration, mistakes, disturbances and seeds: with its evidence, or not at all."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np

from tenfold.core.records.interval import Interval
from tenfold.reporting.recommendations import recommendations
from tenfold.reporting.study_records import StudyRecords


def _texts(records: StudyRecords) -> str:
    return "\n".join(f"{r.action} {r.evidence}" for r in recommendations(records))


def _with(study: StudyRecords, **changes: Any) -> StudyRecords:
    assert study.evaluate is not None
    return dataclasses.replace(study, evaluate=study.evaluate.model_copy(update=changes))


def test_honest_probabilities_need_no_advice(builder: SimpleNamespace) -> None:
    assert "calibration error" not in _texts(builder.cifar_study())


def test_probabilities_that_no_temperature_corrects(builder: SimpleNamespace) -> None:
    study = builder.cifar_study()
    record = builder.calibration_record(0.68, 10000, gap=0.1)
    untrue = _with(study, calibration=record.model_copy(update={"after": record.before}))
    assert "Do not take its probabilities at their word" in _texts(untrue)
    without = builder.calibration_record(0.68, 10000, gap=0.1, temperature=None)
    text = _texts(_with(study, calibration=without))
    assert "Hold out validation images (training.validation_fraction)" in text
    assert "chance explains at most 0.011" in text


def test_the_worst_disturbance_is_named_with_its_loss(builder: SimpleNamespace) -> None:
    study = builder.cifar_study()
    text = _texts(study)
    assert "Add noise to some of the training images, if images in use may look so." in text
    assert "at the strongest" in text
    assert "Blur some" not in text, "one advice is enough"
    record = study.evaluate.robustness
    steady = tuple(
        one.model_copy(update={"fall": 0.01, "fall_interval": Interval(low=-0.01, high=0.03)})
        for one in record.corruptions
    )
    steady_study = _with(study, robustness=record.model_copy(update={"corruptions": steady}))
    assert "if images in use" not in _texts(steady_study)
    assert "if images in use" not in _texts(_with(study, robustness=None))


def test_confident_mistakes_are_for_a_person(builder: SimpleNamespace) -> None:
    labels = np.zeros(1000, dtype=np.int64)
    probabilities = np.tile(np.float32([0.95, 0.05]), (1000, 1))
    probabilities[:40] = [0.05, 0.95]
    probabilities[40:100] = [0.4, 0.6]
    study = dataclasses.replace(
        builder.cifar_study(), test_probabilities=probabilities, test_labels=labels
    )
    assert "40 of 100 mistakes were made with a probability of at least 90%." in _texts(study)
    unsure = dataclasses.replace(study, test_probabilities=probabilities.clip(0.1, 0.6))
    assert "most confident mistakes" not in _texts(unsure)


def test_seeds_matter_where_they_move_more_than_test_images(builder: SimpleNamespace) -> None:
    study = builder.cifar_study()
    wide = dataclasses.replace(study, repeats=builder.repeats_record(0.65, 0.68, 0.71))
    assert "Judge changes by the mean of several runs" in _texts(wide)
    assert "18.25 percentage points of accuracy by luck of the seed" in _texts(wide)
    narrow = dataclasses.replace(study, repeats=builder.repeats_record(0.680, 0.6801, 0.6802))
    assert "Judge changes" not in _texts(narrow)
