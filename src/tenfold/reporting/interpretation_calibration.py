"""Whether the model's probabilities can be believed."""

from __future__ import annotations

from typing import Literal

from tenfold.core.records.evaluation import CalibrationRecord, CoveragePoint

HONEST = 0.02
"""Expected calibration error up to which probabilities are called honest."""

WANTED_ACCURACY = 0.99
"""Asked for when it is said how many images a person has to look at."""


def honesty(calibration: CalibrationRecord) -> Literal["chance", "small error", "dishonest"]:
    """Say whether the stored probabilities are off by no more than chance makes, or by little."""
    error = calibration.after.expected_calibration_error
    if error <= calibration.chance_calibration_error:
        return "chance"
    return "small error" if error <= HONEST else "dishonest"


def surest_half(calibration: CalibrationRecord) -> CoveragePoint:
    """Give the point nearest to half of the images, those that the model is surest of."""
    return min(calibration.coverage, key=lambda point: abs(point.coverage - 0.5))


def reaching(calibration: CalibrationRecord) -> CoveragePoint | None:
    """Give the most images of which `WANTED_ACCURACY` are right; None if no share is so good."""
    reached = [one for one in calibration.coverage if one.accuracy >= WANTED_ACCURACY]
    return reached[-1] if reached else None
