"""What disturbed images do to the accuracy."""

from __future__ import annotations

from tenfold.core.records.evaluation import CorruptionScores, RobustnessRecord

SENSITIVE_FALL = 0.05
"""Mean loss of accuracy from which on the model is called sensitive to a disturbance."""


def sensitive_to(record: RobustnessRecord) -> list[CorruptionScores]:
    """Give the disturbances that clearly cost accuracy, the one that costs most first."""
    by_fall = sorted(record.corruptions, key=lambda one: -one.fall)
    return [one for one in by_fall if one.fall_interval.low >= SENSITIVE_FALL]


def borne(record: RobustnessRecord) -> list[CorruptionScores]:
    """Give the disturbances under which no loss can be shown."""
    return [one for one in record.corruptions if one.fall_interval.low <= 0]
