"""Calibration: known values, bins of equal mass, and what chance alone makes."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.evaluation.calibration import (
    bin_count,
    calibration_record,
    calibration_scores,
    chance_calibration_error,
    coverage_curve,
)


def two_class(confidence: np.ndarray, is_right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give probabilities with this confidence in class 0, and labels that make it right or not."""
    return np.stack([confidence, 1 - confidence], axis=1), np.where(is_right, 0, 1)


def test_error_of_a_model_that_is_always_too_sure() -> None:
    confidence = np.full(1000, 0.9)
    probabilities, labels = two_class(confidence, np.arange(1000) % 10 < 7)
    scores = calibration_scores(probabilities, labels)
    assert scores.mean_confidence == pytest.approx(0.9)
    # In every bin the accuracy is about 0.7: bins of 66 or 67 images hold about 7 tenths right.
    assert scores.expected_calibration_error == pytest.approx(0.2, abs=0.01)
    assert scores.brier_score == pytest.approx(0.7 * 2 * 0.1**2 + 0.3 * 2 * 0.9**2)
    assert scores.log_loss == pytest.approx(-0.7 * np.log(0.9) - 0.3 * np.log(0.1))


def test_bins_hold_equally_many_images_from_least_to_most_confident() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 1000)
    probabilities, labels = two_class(confidence, generator.random(1000) < confidence)
    bins = calibration_scores(probabilities, labels).bins
    assert len(bins) == 15
    assert {one.count for one in bins} == {66, 67}
    assert sum(one.count for one in bins) == 1000
    means = [one.confidence for one in bins]
    assert means == sorted(means)
    assert all(one.interval.holds(one.accuracy) for one in bins)


@pytest.mark.parametrize(("images", "bins"), [(1, 1), (39, 1), (40, 2), (300, 15), (10_000, 15)])
def test_few_images_make_few_bins(images: int, bins: int) -> None:
    assert bin_count(images) == bins


def test_chance_explains_a_perfect_model_s_error_in_19_of_20_cases() -> None:
    generator = np.random.default_rng(3)
    confidence = generator.uniform(0.5, 1, 600)
    limit = chance_calibration_error(confidence, generator)
    below = 0
    for _ in range(400):
        probabilities, labels = two_class(confidence, generator.random(600) < confidence)
        below += calibration_scores(probabilities, labels).expected_calibration_error <= limit
    assert below / 400 == pytest.approx(0.95, abs=0.03)


def test_coverage_begins_with_the_surest() -> None:
    confidence = np.array([0.99, 0.6, 0.9, 0.7])
    probabilities, labels = two_class(confidence, np.array([True, False, True, True]))
    points = coverage_curve(probabilities, labels)
    assert [point.coverage for point in points] == [0.25, 0.5, 0.75, 1.0]
    assert [point.accuracy for point in points] == [1, 1, 1, 0.75]
    assert [point.least_confidence for point in points] == [0.99, 0.9, 0.7, 0.6]


def test_the_curve_of_many_images_has_a_hundred_points() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 3333)
    points = coverage_curve(*two_class(confidence, generator.random(3333) < confidence))
    assert len(points) == 100
    assert points[-1].coverage == 1


def test_record_holds_before_and_after() -> None:
    before, labels = two_class(np.full(100, 0.99), np.arange(100) % 2 == 0)
    after, _ = two_class(np.full(100, 0.5 + 1e-9), np.arange(100) % 2 == 0)
    record = calibration_record(
        before, after, labels, temperature=5.0, generator=np.random.default_rng(0)
    )
    assert record.before.expected_calibration_error > 0.4
    assert record.after.expected_calibration_error < 0.1
    assert record.after.log_loss < record.before.log_loss
    assert record.temperature == 5.0
