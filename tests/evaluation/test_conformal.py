"""Prediction sets: thresholds by hand, and the promise in simulation."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.core.records.guarantees import PredictionSets
from tenfold.evaluation.conformal import (
    LEAST_CLASS_IMAGES,
    calibrate_sets,
    least_images,
    measure_sets,
)


def draw(
    count: int, generator: np.random.Generator, classes: int = 5, sharpness: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    """Give probabilities of a model that is right in about 80%, and labels, classes unlike."""
    labels = generator.choice(classes, count, p=np.arange(1, classes + 1) / 15)
    logits = generator.normal(size=(count, classes))
    logits[np.arange(count), labels] += sharpness - 0.3 * labels  # some classes are harder
    exponentials = np.exp(logits)
    return (exponentials / exponentials.sum(1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize(("coverage", "fewest"), [(0.95, 19), (0.9, 9), (0.5, 1), (0.99, 99)])
def test_the_fewest_images_that_a_threshold_can_be_found_on(coverage: float, fewest: int) -> None:
    assert least_images(coverage) == fewest
    probabilities = np.tile(np.float32([0.6, 0.4]), (fewest, 1))
    labels = np.zeros(fewest, np.int64)
    found = calibrate_sets(probabilities, labels, coverage=coverage, calibrated_on="validation")
    assert found is not None
    assert not any(found.has_own_threshold) or fewest >= LEAST_CLASS_IMAGES
    fewer = calibrate_sets(
        probabilities[1:], labels[1:], coverage=coverage, calibrated_on="validation"
    )
    assert fewer is None


def test_the_threshold_is_the_fifth_lowest_of_99() -> None:
    """Of 99 images, 95 = ceil(100 × 0.95) have to be in: all but the 4 lowest."""
    of_truth = np.linspace(0.01, 0.99, 99, dtype=np.float32)
    probabilities = np.stack([of_truth, 1 - of_truth], 1)
    generator = np.random.default_rng(0)
    order = generator.permutation(99)
    found = calibrate_sets(
        probabilities[order], np.zeros(99, np.int64), coverage=0.95, calibrated_on="validation"
    )
    assert found is not None
    assert found.least_probabilities[0] == pytest.approx(of_truth[4])
    assert found.has_own_threshold == (True, False)
    assert found.calibration_counts == (99, 0)


def test_a_class_of_few_images_shares_its_threshold_with_the_other_small_ones() -> None:
    generator = np.random.default_rng(1)
    probabilities, labels = draw(2000, generator, sharpness=4)
    kept = (labels > 1) | (np.arange(2000) < 250)
    probabilities, labels = probabilities[kept], labels[kept]
    counts = np.bincount(labels)
    assert counts[0] < LEAST_CLASS_IMAGES < counts[2]
    assert counts[1] < LEAST_CLASS_IMAGES
    assert counts[0] + counts[1] >= least_images(0.95)
    found = calibrate_sets(probabilities, labels, coverage=0.95, calibrated_on="validation")
    assert found is not None
    assert found.has_own_threshold == (False, False, True, True, True)
    assert found.least_probabilities[0] == found.least_probabilities[1]
    assert len(set(found.least_probabilities)) == 4


def test_the_most_probable_class_is_always_in() -> None:
    sets = PredictionSets(
        wanted_coverage=0.95,
        least_probabilities=(0.9, 0.9, 0.2),
        calibration_counts=(50, 50, 50),
        has_own_threshold=(True, True, True),
        calibrated_on="validation",
    )
    rows = np.float32([[0.5, 0.4, 0.1], [0.95, 0.03, 0.02], [0.5, 0.2, 0.3]])
    assert sets.members(rows).tolist() == [
        [True, False, False],
        [True, False, False],
        [True, False, True],
    ]


def test_what_is_measured_is_counted() -> None:
    sets = PredictionSets(
        wanted_coverage=0.95,
        least_probabilities=(0.25, 0.25, 0.25),
        calibration_counts=(50, 50, 50),
        has_own_threshold=(True, True, True),
        calibrated_on="validation",
    )
    rows = np.float32([[0.6, 0.3, 0.1], [0.9, 0.05, 0.05], [0.34, 0.33, 0.33], [0.1, 0.8, 0.1]])
    measured = measure_sets(sets, rows, np.array([1, 1, 0, 1]))
    assert measured is not None
    assert measured.coverage == 0.75
    assert measured.sizes == (2, 1, 1)
    assert measured.mean_size == 1.75
    assert [one.coverage for one in measured.classes] == [1.0, pytest.approx(2 / 3), None]
    assert [one.count for one in measured.classes] == [1, 3, 0]
    assert measure_sets(sets, rows[:0], np.zeros(0, np.int64)) is None


@pytest.mark.slow
@pytest.mark.parametrize(("coverage", "sharpness"), [(0.95, 3.0), (0.8, 1.2)])
def test_the_promise_holds_over_1000_draws(coverage: float, sharpness: float) -> None:
    """Of models that are right less often than the sets: the most probable class is always in."""
    generator = np.random.default_rng(2)
    of_all, of_class, of_rest = [], [], []
    for _ in range(1000):
        probabilities, labels = draw(700, generator, sharpness=sharpness)
        found = calibrate_sets(
            probabilities[:400], labels[:400], coverage=coverage, calibrated_on="validation"
        )
        assert found is not None
        measured = measure_sets(found, probabilities[400:], labels[400:])
        assert measured is not None
        of_all.append(measured.coverage)
        assert found.has_own_threshold[4]
        of_class.append(measured.classes[4].coverage)
        few = [
            one
            for one, own in zip(measured.classes, found.has_own_threshold, strict=True)
            if not own
        ]
        if few:
            covered = sum(one.coverage * one.count for one in few if one.coverage is not None)
            of_rest.append(covered / sum(one.count for one in few))
    assert coverage - 0.015 < np.mean(of_all) < coverage + 0.015
    assert coverage - 0.015 < np.mean(of_class) < coverage + 0.015
    assert len(of_rest) > 500
    assert coverage - 0.015 < np.mean(of_rest) < coverage + 0.025  # 27 images: 1/28 more at most
    # A single calibration is off by its own luck and the test's, no more: 3 points or so.
    assert np.std(of_all) < 0.035
