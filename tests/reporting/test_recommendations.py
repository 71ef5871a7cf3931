"""Recommendations appear when their evidence does, and only then."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np

from tenfold.reporting.recommendations import recommendations
from tenfold.reporting.study_records import StudyRecords


def _texts(records: StudyRecords) -> str:
    return "\n".join(f"{r.action} {r.evidence}" for r in recommendations(records))


def test_balanced_classes_are_not_to_be_rebalanced(builder: SimpleNamespace) -> None:
    study = builder.cifar_study()
    assert "Rebalance" not in _texts(study)
    counts = (5000,) * 9 + (2000,)
    uneven = dataclasses.replace(
        study, acquire=builder.acquire_record(builder.CIFAR10_CLASSES, train_counts=counts)
    )
    assert "The class truck has 2,000 training images, airplane has 5,000." in _texts(uneven)


def test_longer_training_only_while_it_helps(builder: SimpleNamespace) -> None:
    study = builder.cifar_study()
    rising = tuple(0.3 + 0.02 * epoch for epoch in range(15))
    still = dataclasses.replace(study, train=builder.train_record(rising, rising))
    assert "Train longer." in _texts(still)
    flat = dataclasses.replace(study, train=builder.train_record((0.7,) * 15, (0.7,) * 15))
    assert "Train longer." not in _texts(flat)


def test_regularisation_only_with_a_gap(builder: SimpleNamespace) -> None:
    study = builder.cifar_study()
    gap = dataclasses.replace(study, train=builder.train_record((0.99,) * 6, (0.6,) * 6))
    assert "Augment the training images." in _texts(gap)
    augmented = dataclasses.replace(
        study, train=builder.train_record((0.99,) * 6, (0.6,) * 6, augmentation="report")
    )
    assert "Regularise more" in _texts(augmented)
    none = dataclasses.replace(study, train=builder.train_record((0.95,) * 6, (0.94,) * 6))
    assert "Regularise" not in _texts(none)
    assert "Augment" not in _texts(none)
    assert "capacity" not in _texts(none)


def test_best_epoch_only_if_it_is_clearly_better(builder: SimpleNamespace) -> None:
    study = builder.cifar_study()
    original = dataclasses.replace(
        study, train=builder.train_record((0.65,) * 20, builder.ORIGINAL_VALIDATION_ACCURACY)
    )
    assert "training.weights=best" in _texts(original)
    assert "training.schedule=cosine" in _texts(original)
    even = dataclasses.replace(study, train=builder.train_record((0.65,) * 3, (0.6, 0.601, 0.6)))
    assert "training.weights=best" not in _texts(even)


def test_a_dominant_pair_is_named(builder: SimpleNamespace) -> None:
    confusion = np.eye(10, dtype=np.int64) * 900 + 5
    confusion[3, 5] = confusion[5, 3] = 200
    study = dataclasses.replace(
        builder.cifar_study(), evaluate=builder.evaluate_record(confusion, builder.CIFAR10_CLASSES)
    )
    assert "tell them apart. 48% of all errors (400 of 840)" in _texts(study)


def test_two_classes_are_one_pair_and_no_finding(builder: SimpleNamespace) -> None:
    study = dataclasses.replace(
        builder.two_class_study(),
        evaluate=builder.evaluate_record(np.array([[9, 1], [2, 8]]), ("cat", "dog")),
    )
    assert "tell them apart" not in _texts(study)


def test_a_pair_of_few_images_is_no_finding(builder: SimpleNamespace) -> None:
    confusion = np.eye(10, dtype=np.int64) * 30
    confusion[3, 5] = 2
    study = dataclasses.replace(
        builder.cifar_study(), evaluate=builder.evaluate_record(confusion, builder.CIFAR10_CLASSES)
    )
    assert "tell them apart" not in _texts(study)


def test_nothing_measured_nothing_recommended(builder: SimpleNamespace) -> None:
    study = dataclasses.replace(
        builder.two_class_study(), acquire=builder.acquire_record(("cat", "dog")), train=None
    )
    assert recommendations(study) == []


def test_search_at_the_edge(builder: SimpleNamespace) -> None:
    tune = builder.tune_record()
    assert "Extend" not in _texts(builder.cifar_study())
    edge = tune.model_copy(update={"best_parameters": {"model.units": 512}})
    study = dataclasses.replace(builder.cifar_study(), tune=edge)
    assert "upper end of it: units = 512." in _texts(study)
