"""What disturbed images do to the accuracy."""

from __future__ import annotations

from tenfold.core.records.robustness import CorruptionScores, RobustnessRecord
from tenfold.reporting.formats import counted, join, number, percent

SENSITIVE_FALL = 0.05
"""Mean loss of accuracy from which on the model is called sensitive to a disturbance."""


def by_fall(record: RobustnessRecord) -> list[CorruptionScores]:
    """Sort the disturbances, the one that costs most first."""
    return sorted(record.corruptions, key=lambda one: -one.fall)


def sensitive_to(record: RobustnessRecord) -> list[CorruptionScores]:
    """Give the disturbances that clearly cost accuracy, the one that costs most first."""
    return [one for one in by_fall(record) if one.fall_interval.low >= SENSITIVE_FALL]


def strengths_text(scores: CorruptionScores) -> str:
    """Write the five strengths and what they measure."""
    return f"{', '.join(number(value) for value in scores.strengths)} ({scores.unit})"


def points(value: float) -> str:
    """Write a loss of accuracy in percentage points, with a sign only where it is a gain."""
    text = f"{abs(100 * value):.1f}"
    return text if value >= 0 or float(text) == 0 else f"−{text}"


def robustness_sentences(record: RobustnessRecord) -> list[str]:
    """Say what the model is sensitive to and what it bears."""
    worst = sensitive_to(record)
    sentences = []
    if worst:
        first = worst[0]
        sentences.append(
            f"It is most sensitive to {first.name}: at the strongest its accuracy is "
            f"{percent(first.accuracies[-1])} instead of {percent(record.accuracy)}."
        )
        if len(worst) > 1:
            others = join(f"{one.name} ({points(one.fall)} points)" for one in worst[1:])
            sentences.append(
                f"Averaged over the strengths, {others} clearly cost accuracy as well."
            )
    else:
        sentences.append(
            f"None of the disturbances clearly costs it {percent(SENSITIVE_FALL, 0)} of accuracy "
            "or more, averaged over the strengths."
        )
    borne = [one.name for one in record.corruptions if one.fall_interval.low <= 0]
    if borne:
        sentences.append(f"No loss can be shown under {join(borne)}.")
    return sentences


def sample_sentence(record: RobustnessRecord, test_count: int) -> str:
    """Say on which images it was measured."""
    if record.count >= test_count:
        return f"All {counted(record.count, 'test image')} were used."
    return (
        f"{counted(record.count, 'test image')} were used, a stratified sample drawn with the "
        f"study's seed; undisturbed, the model is right in {percent(record.accuracy)} of them (95% "
        f"interval {percent(record.interval.low)} to {percent(record.interval.high)})."
    )
