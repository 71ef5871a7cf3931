"""Recommendations appear when their evidence does, and only then."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from real_study import CONFLICTS, LEAKS
from tenfold.core.record import Interval
from tenfold.core.records.data import AuditRecord
from tenfold.core.records.training import ProbeRecord
from tenfold.report.recommendations import about_audit, recommendations
from tenfold.report.records import StudyRecords


def _found(records: StudyRecords) -> dict[str, Any]:
    """Give the facts of each recommendation, by name."""
    return {found.name: found.facts for found in recommendations(records)}


def _evaluated(study: StudyRecords, **changes: Any) -> StudyRecords:
    assert study.evaluate is not None
    return dataclasses.replace(study, evaluate=study.evaluate.model_copy(update=changes))


@pytest.fixture
def study(builder: SimpleNamespace) -> StudyRecords:
    records: StudyRecords = builder.cifar_study()
    return records


def test_every_finding_has_words() -> None:
    source = Path(inspect.getfile(recommendations))
    template = source.parent / "templates" / "words" / "recommendations.j2"
    found = set(re.findall(r'_found\(\s*"([\w-]+)"', source.read_text()))
    said = set(re.findall(r'name == "([\w-]+)"', template.read_text()))
    assert found == said


def test_the_conclusions_have_the_action_alone(study: StudyRecords, section: Any) -> None:
    action, evidence = "Search longer: more trials", "3 complete trials for"
    assert f"{action}, with a sampler" in section("evaluation", study)
    assert evidence in section("evaluation", study)
    assert action in section("conclusions", study)
    assert evidence not in section("conclusions", study)


def test_balanced_classes_are_not_to_be_rebalanced(
    study: StudyRecords, builder: SimpleNamespace
) -> None:
    assert "imbalance" not in _found(study)
    counts = (5000,) * 9 + (2000,)
    uneven = dataclasses.replace(
        study, acquire=builder.acquire_record(builder.CIFAR10_CLASSES, train_counts=counts)
    )
    assert _found(uneven)["imbalance"] == {
        "least": "truck",
        "most": "airplane",
        "smallest": 2000,
        "largest": 5000,
        "is_rebalanced": False,
        "can_be_rebalanced": True,
    }


def test_a_head_alone_is_not_advised_what_only_a_training_can_do(
    study: StudyRecords, builder: SimpleNamespace, probe: ProbeRecord
) -> None:
    train = builder.train_record((0.99,), (0.6,)).model_copy(update={"probe": probe})
    acquire = builder.acquire_record(builder.CIFAR10_CLASSES, train_counts=(5000,) * 9 + (2000,))
    alone = dataclasses.replace(
        study,
        acquire=acquire,
        train=train.model_copy(update={"probe": probe.model_copy(update={"fine_tune_epochs": 0})}),
    )
    found = _found(alone)
    assert "fine-tune" in found
    assert not {"over-fitting", "under-fitting", "train-longer"} & found.keys()
    assert not found["imbalance"]["can_be_rebalanced"]
    tuned = probe.model_copy(update={"fine_tune_epochs": 3})
    trained = dataclasses.replace(study, train=train.model_copy(update={"probe": tuned}))
    assert "fine-tune" not in _found(trained)


def test_an_empty_class_comes_before_few_images(
    study: StudyRecords, builder: SimpleNamespace
) -> None:
    counts = (50,) * 9 + (0,)
    acquire = builder.acquire_record(builder.CIFAR10_CLASSES, train_counts=counts)
    found = _found(dataclasses.replace(study, acquire=acquire))
    assert "empty-class" in found
    assert not {"imbalance", "few-images"} & found.keys()


def test_longer_training_only_while_it_helps(study: StudyRecords, builder: SimpleNamespace) -> None:
    rising = tuple(0.3 + 0.02 * epoch for epoch in range(15))
    still = dataclasses.replace(study, train=builder.train_record(rising, rising))
    assert "train-longer" in _found(still)
    flat = dataclasses.replace(study, train=builder.train_record((0.7,) * 15, (0.7,) * 15))
    assert "train-longer" not in _found(flat)
    assert "under-fitting" in _found(flat)


def test_regularisation_only_with_a_gap(study: StudyRecords, builder: SimpleNamespace) -> None:
    gap = dataclasses.replace(study, train=builder.train_record((0.99,) * 6, (0.6,) * 6))
    assert not _found(gap)["over-fitting"]["is_augmented"]
    augmented = dataclasses.replace(
        study, train=builder.train_record((0.99,) * 6, (0.6,) * 6, augmentation="report")
    )
    assert _found(augmented)["over-fitting"]["is_augmented"]
    none = dataclasses.replace(study, train=builder.train_record((0.95,) * 6, (0.94,) * 6))
    assert not {"over-fitting", "under-fitting"} & _found(none).keys()


def test_best_epoch_only_if_it_is_clearly_better(
    study: StudyRecords, builder: SimpleNamespace
) -> None:
    original = dataclasses.replace(
        study, train=builder.train_record((0.65,) * 20, builder.ORIGINAL_VALIDATION_ACCURACY)
    )
    assert {"best-epoch", "fluctuation"} <= _found(original).keys()
    even = dataclasses.replace(study, train=builder.train_record((0.65,) * 3, (0.6, 0.601, 0.6)))
    assert "best-epoch" not in _found(even)


def test_a_dominant_pair_is_named(study: StudyRecords, builder: SimpleNamespace) -> None:
    confusion = np.eye(10, dtype=np.int64) * 900 + 5
    confusion[3, 5] = confusion[5, 3] = 200
    evaluate = builder.evaluate_record(confusion, builder.CIFAR10_CLASSES)
    found = _found(dataclasses.replace(study, evaluate=evaluate))
    assert found["confused-pair"] == {"names": ("cat", "dog"), "confused": 400, "errors": 840}


@pytest.mark.parametrize(
    ("confusion", "classes"),
    [
        pytest.param([[9, 1], [2, 8]], ("cat", "dog"), id="two classes are one pair"),
        pytest.param(np.diag([30] * 3) + np.eye(3, k=1) * 2, ("a", "b", "c"), id="few images"),
    ],
)
def test_a_pair_that_is_no_finding(
    builder: SimpleNamespace, confusion: Any, classes: tuple[str, ...]
) -> None:
    study = dataclasses.replace(
        builder.two_class_study(),
        acquire=builder.acquire_record(classes),
        evaluate=builder.evaluate_record(np.array(confusion, dtype=np.int64), classes),
    )
    assert "confused-pair" not in _found(study)


def test_nothing_measured_nothing_recommended(builder: SimpleNamespace) -> None:
    study = dataclasses.replace(
        builder.two_class_study(), acquire=builder.acquire_record(("cat", "dog")), train=None
    )
    assert recommendations(study) == []


def test_search_at_the_edge(study: StudyRecords) -> None:
    assert study.tune is not None
    assert "search-edge" not in _found(study)
    edge = study.tune.model_copy(update={"best_parameters": {"model.units": 512}})
    assert "search-edge" in _found(dataclasses.replace(study, tune=edge))


@pytest.mark.parametrize(
    ("error", "chance", "expected"), [(0.1, 0.01, True), (0.1, 0.1, False), (0.019, 0.01, False)]
)
def test_dishonest_probabilities(
    study: StudyRecords, error: float, chance: float, expected: bool
) -> None:
    assert study.evaluate is not None
    record = study.evaluate.calibration
    after = record.after.model_copy(update={"expected_calibration_error": error})
    changes = {"after": after, "chance_calibration_error": chance}
    changed = _evaluated(study, calibration=record.model_copy(update=changes))
    assert ("calibration" in _found(changed)) == expected


def test_the_worst_disturbance_is_named(real_study: StudyRecords) -> None:
    assert real_study.evaluate is not None
    record = real_study.evaluate.robustness
    assert record is not None
    assert _found(real_study)["disturbance"]["worst"].name == "brightness"
    steady = tuple(
        one.model_copy(update={"fall": 0.01, "fall_interval": Interval(low=-0.01, high=0.03)})
        for one in record.corruptions
    )
    changed = _evaluated(real_study, robustness=record.model_copy(update={"corruptions": steady}))
    assert "disturbance" not in _found(changed)
    assert "disturbance" not in _found(_evaluated(real_study, robustness=None))


def test_confident_mistakes_are_for_a_person(study: StudyRecords) -> None:
    labels = np.zeros(1000, dtype=np.int64)
    probabilities = np.tile(np.float32([0.95, 0.05]), (1000, 1))
    probabilities[:40] = [0.05, 0.95]
    probabilities[40:100] = [0.4, 0.6]
    sure = dataclasses.replace(study, test_probabilities=probabilities, test_labels=labels)
    found = _found(sure)["sure-mistakes"]["mistakes"]
    assert (found.sure, found.count) == (40, 100)
    unsure = dataclasses.replace(sure, test_probabilities=probabilities.clip(0.1, 0.6))
    assert "sure-mistakes" not in _found(unsure)


def test_seeds_matter_where_they_move_more_than_test_images(
    study: StudyRecords, builder: SimpleNamespace
) -> None:
    wide = dataclasses.replace(study, repeats=builder.repeats_record(0.65, 0.68, 0.71))
    assert _found(wide)["seeds"]["least_difference"] == pytest.approx(0.1825, abs=1e-4)
    narrow = dataclasses.replace(study, repeats=builder.repeats_record(0.680, 0.6801, 0.6802))
    assert "seeds" not in _found(narrow)


class TestAudit:
    @pytest.fixture
    def audit(self, real_study: StudyRecords) -> AuditRecord:
        assert real_study.audit is not None
        return real_study.audit

    def test_labels_conflicts_and_leaks_lead_to_advice(
        self, real_study: StudyRecords, audit: AuditRecord
    ) -> None:
        found = {one.name: one.facts for one in about_audit(audit)}
        assert list(found) == ["conflicts", "label-issues", "leaks"]
        assert found["conflicts"] == {"pairs": CONFLICTS}
        assert found["leaks"]["leaked"] == LEAKS
        assert found.keys() <= _found(real_study).keys()

    def test_clean_data_lead_to_none(self, audit: AuditRecord) -> None:
        none = audit.duplicates.within_test
        assert (none.exact, none.near, none.other_label) == (0, 0, 0)
        clean = {"leaked_test_images": 0, "within_train": none, "across": none}
        changes = {
            "duplicates": audit.duplicates.model_copy(update=clean),
            "labels": tuple(one.model_copy(update={"flagged": 0}) for one in audit.labels),
        }
        assert list(about_audit(audit.model_copy(update=changes))) == []

    def test_leaks_that_change_nothing_need_no_advice(self, audit: AuditRecord) -> None:
        scores = audit.scores.model_copy(update={"without_leaks": audit.scores.plain})
        found = about_audit(audit.model_copy(update={"scores": scores}))
        assert "leaks" not in [one.name for one in found]
