"""An imbalanced study: the page says so, and accuracy never stands alone."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tenfold.core.records.evaluation import CrossValidateRecord
from tenfold.core.records.training import RebalancingRecord
from tenfold.evaluation.scores import is_imbalanced
from tenfold.report.findings.data import size_effect, validation_draw
from tenfold.report.records import StudyRecords


@pytest.fixture
def study(builder: SimpleNamespace) -> StudyRecords:
    """Give two large classes that are recognised and two small ones that are not."""
    classes = ("ant", "bee", "cat", "dog")
    confusion = np.array([[950, 50, 0, 0], [60, 940, 0, 0], [30, 20, 0, 0], [9, 9, 1, 1]])
    base: StudyRecords = builder.cifar_study()
    return dataclasses.replace(
        base,
        settings={"training": {"validation_method": "stratified", "validation_fraction": 0.1}},
        references=(),
        acquire=builder.acquire_record(
            classes, train_counts=(5000, 5000, 250, 100), test_counts=(1000, 1000, 50, 20)
        ),
        explore=None,
        tune=None,
        train=builder.train_record((0.7, 0.8, 0.9), (0.7, 0.8, 0.85), class_count=4),
        evaluate=builder.evaluate_record(confusion, classes),
        cross_validate=CrossValidateRecord(
            folds=2, protocols=(builder.protocol_record("fresh", (0.9, 0.91)),)
        ),
    )


def test_the_headline_leads_with_balanced_accuracy(study: StudyRecords, section: Any) -> None:
    text = section("header", study)
    assert "Balanced accuracy 48.5%" in text
    assert "plain accuracy 91.4%" in text
    assert "finds 48 on average over the classes, but only 0 of cat; counting every image" in text


def test_equal_classes_have_no_worst_and_an_untested_one_is_said_to_count(
    study: StudyRecords, builder: SimpleNamespace, section: Any
) -> None:
    evaluate = builder.evaluate_record(np.diag([3, 1, 1, 0]), study.acquire.classes)
    text = section("header", dataclasses.replace(study, evaluate=evaluate))
    assert "but only" not in text
    assert "1 class without a test image counted as 0" in text
    assert "every tested class has F1 1" in text


@pytest.mark.parametrize(
    ("part", "fragment"),
    [
        ("exploration", "the largest class to the smallest is 50.0 to 1"),
        ("exploration", "the validation split and the folds of the cross-validation have"),
        ("training", "Accuracy here counts every image alike"),
        ("evaluation", "so accuracy (91.4%) is mostly that of the large ones"),
        ("evaluation", "Rebalance the classes"),
        ("cross-validation", "Averaged over the classes, which differ in size, the folds find"),
        ("conclusions", "Balanced accuracy 48.5%; plain test accuracy 91.4%"),
        ("conclusions", "gives a macro recall of"),
    ],
)
def test_every_section_says_it(
    study: StudyRecords, builder: SimpleNamespace, section: Any, part: str, fragment: str
) -> None:
    assert fragment in section(part, study)
    assert fragment not in section(part, builder.cifar_study())


def test_small_classes_are_compared_with_large_ones(
    study: StudyRecords, builder: SimpleNamespace
) -> None:
    assert study.evaluate is not None
    effect = size_effect(study.evaluate, study.acquire)
    assert (effect.sizes, effect.most_of_small, effect.least_of_large) == ("uneven", 250, 5000)
    assert effect.rank_correlation == pytest.approx(0.7379, abs=1e-4)
    classes = study.acquire.classes
    for counts, sizes in (((90,) * 4, "equal"), ((90, 100, 95, 90), "about equal")):
        acquire = builder.acquire_record(classes, train_counts=counts)
        assert size_effect(study.evaluate, acquire).sizes == sizes
        assert not is_imbalanced(acquire)


@pytest.mark.parametrize(
    ("training", "given", "expected"),
    [
        ({"validation_method": "stratified", "validation_fraction": 0.1}, 0, "stratified"),
        ({"validation_method": "stratified", "validation_fraction": 0.1}, 9, None),
        ({"validation_method": "stratified", "validation_fraction": 0}, 0, None),
        ({"validation_method": "last"}, 0, "last"),
        (None, 0, None),
    ],
)
def test_how_the_validation_images_were_drawn(
    study: StudyRecords, training: Any, given: int, expected: str | None
) -> None:
    acquire = study.acquire.model_copy(update={"validation_count": given})
    assert validation_draw({"training": training}, acquire) == expected


def test_the_page_says_how_the_training_was_rebalanced(study: StudyRecords, section: Any) -> None:
    assert study.train is not None
    chosen = RebalancingRecord(
        asked="auto", method="inverse", ratio=50, sentence="It was rebalanced, as it is uneven."
    )
    train = study.train.model_copy(update={"rebalancing": chosen})
    rebalanced = dataclasses.replace(study, train=train)
    assert chosen.sentence in section("exploration", rebalanced)
    assert "the training was rebalanced already" in section("conclusions", rebalanced)
    unasked = chosen.model_copy(update={"asked": "none", "method": "none"})
    train = study.train.model_copy(update={"rebalancing": unasked})
    assert chosen.sentence not in section("exploration", dataclasses.replace(study, train=train))
