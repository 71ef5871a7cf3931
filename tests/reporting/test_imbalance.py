"""An imbalanced study: the page says so, and accuracy never stands alone."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest

from tenfold.core.records.cross_validate import CrossValidateRecord
from tenfold.core.records.train import RebalancingRecord
from tenfold.reporting.conclusions import conclusions
from tenfold.reporting.headline import tiles, verdict
from tenfold.reporting.imbalance import Imbalance, rank_correlation, size_sentences
from tenfold.reporting.page import render_page
from tenfold.reporting.study_records import StudyRecords


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
        repeats=None,
        audit=None,
        test_probabilities=None,
        test_labels=None,
        evaluated_images=None,
    )


def test_the_headline_leads_with_balanced_accuracy(study: StudyRecords) -> None:
    tile = next(tile for tile in tiles(study) if "accuracy" in tile.label.lower())
    assert tile.label == "Balanced accuracy"
    assert tile.value == "48.5%"
    assert "plain accuracy 91.4%" in tile.detail
    assert verdict(study).startswith("Of 100 images of a class, which it has never seen, the model")
    assert "finds 48 on average over the classes, but only 0 of cat" in verdict(study)


def test_equal_classes_have_no_worst_and_an_untested_one_is_said_to_count(
    study: StudyRecords, builder: SimpleNamespace
) -> None:
    classes = study.acquire.classes
    confusion = np.diag([3, 1, 1, 0])
    perfect = dataclasses.replace(study, evaluate=builder.evaluate_record(confusion, classes))
    assert "but only" not in verdict(perfect)
    shown = {tile.label: tile.detail for tile in tiles(perfect)}
    assert "1 class without a test image counted as 0" in shown["Macro F1"]
    assert shown["Weakest class"] == "every tested class has F1 1"


def test_scores_far_apart_do_not_agree_because_images_are_few(
    study: StudyRecords, builder: SimpleNamespace
) -> None:
    evaluate = builder.evaluate_record(np.diag([2, 1, 1, 1]), study.acquire.classes)
    folds = CrossValidateRecord(folds=2, protocols=(builder.protocol_record("fresh", (0.2, 0.95)),))
    train = study.train and study.train.model_copy(update={"epochs": folds.protocols[0].epochs})
    few = dataclasses.replace(study, train=train, evaluate=evaluate, cross_validate=folds)
    said = verdict(few)
    assert "agrees" not in said
    assert said.endswith("which so few images leave to chance.")


def test_the_page_says_how_imbalanced_and_what_was_done(study: StudyRecords) -> None:
    text = re.sub(r"<[^>]+>", " ", render_page(study))
    text = " ".join(text.split())
    assert "the largest class to the smallest is 50.0 to 1" in text
    assert "the validation split and the folds of the cross-validation have the same share" in text
    assert "so accuracy (91.4%) is mostly that of the large ones" in text
    assert text.count("Accuracy here counts every image alike") == 2  # training, disturbed images
    assert "Averaged over the classes, which differ in size, the folds find" in text
    assert "Rebalance the classes" in text


def test_conclusions_do_not_let_accuracy_stand_alone(study: StudyRecords) -> None:
    parts = dict(conclusions(study))
    assert parts["Performance"].startswith("Balanced accuracy 48.5%; plain test accuracy 91.4%")
    assert "macro recall" in parts["Robustness"]


def test_of_a_balanced_study_nothing_of_that(builder: SimpleNamespace) -> None:
    page = render_page(builder.cifar_study())
    assert "Accuracy here counts every image alike" not in page
    assert "Balanced accuracy" not in page.split("Contents")[0]


def test_small_classes_are_compared_with_large_ones(study: StudyRecords) -> None:
    assert study.evaluate is not None
    (text,) = size_sentences(study.evaluate, study.acquire)
    assert "rank correlation of size and recall is 0.74" in text


def test_measures_by_hand() -> None:
    imbalance = Imbalance.of((300, 100))
    assert imbalance.ratio == 3
    # exp(-(0.75 ln 0.75 + 0.25 ln 0.25))
    assert imbalance.effective_classes == pytest.approx(1.7548, abs=1e-4)
    assert Imbalance.of((5, 5, 5)).effective_classes == pytest.approx(3)
    assert rank_correlation((1, 2, 3, 4), (4, 3, 2, 1)) == -1
    assert rank_correlation((1, 2, 3, 4), (1, 1, 1, 1)) is None


def test_the_page_says_how_the_training_was_rebalanced(study: StudyRecords) -> None:
    assert study.train is not None
    chosen = RebalancingRecord(
        asked="auto", method="inverse", ratio=50, sentence="It was rebalanced, as it is uneven."
    )
    train = study.train.model_copy(update={"rebalancing": chosen})
    page = render_page(dataclasses.replace(study, train=train))
    assert page.count("It was rebalanced, as it is uneven.") == 1
    assert "the training was rebalanced already" in page
    assert "--rebalance auto" not in page
    assert "--rebalance auto" in render_page(study)
    unasked = chosen.model_copy(update={"asked": "none", "method": "none"})
    train = study.train.model_copy(update={"rebalancing": unasked})
    assert "It was rebalanced" not in render_page(dataclasses.replace(study, train=train))
