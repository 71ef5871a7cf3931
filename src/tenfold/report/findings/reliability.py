"""How far the scores can be relied on: calibration, robustness, folds, repeats."""

from __future__ import annotations

import math
from typing import Literal

from tenfold.core.records.evaluation import (
    CalibrationRecord,
    CorruptionScores,
    CoveragePoint,
    CrossValidateRecord,
    EvaluateRecord,
    ProtocolRecord,
    RepeatsRecord,
    RobustnessRecord,
)
from tenfold.core.records.training import TrainRecord
from tenfold.report.formats import duration, score
from tenfold.report.wording import words

_HONEST = 0.02
"""Expected calibration error up to which probabilities are called honest."""

WANTED_ACCURACY = 0.99
"""Asked for when it is said how many images a person has to look at."""


def honesty(calibration: CalibrationRecord) -> Literal["chance", "small error", "dishonest"]:
    """Say whether the stored probabilities are off by no more than chance makes, or by little."""
    error = calibration.after.expected_calibration_error
    if error <= calibration.chance_calibration_error:
        return "chance"
    return "small error" if error <= _HONEST else "dishonest"


def surest_half(calibration: CalibrationRecord) -> CoveragePoint:
    """Give the point nearest to half of the images, those that the model is surest of."""
    return min(calibration.coverage, key=lambda point: abs(point.coverage - 0.5))


def reaching(calibration: CalibrationRecord) -> CoveragePoint | None:
    """Give the most images of which `WANTED_ACCURACY` are right; None if no share is so good."""
    reached = [one for one in calibration.coverage if one.accuracy >= WANTED_ACCURACY]
    return reached[-1] if reached else None


SENSITIVE_FALL = 0.05
"""Mean loss of accuracy from which on the model is called sensitive to a disturbance."""


def sensitive_to(record: RobustnessRecord) -> list[CorruptionScores]:
    """Give the disturbances that clearly cost accuracy, the one that costs most first."""
    by_fall = sorted(record.corruptions, key=lambda one: -one.fall)
    return [one for one in by_fall if one.fall_interval.low >= SENSITIVE_FALL]


def borne(record: RobustnessRecord) -> list[CorruptionScores]:
    """Give the disturbances under which no loss can be shown."""
    return [one for one in record.corruptions if one.fall_interval.low <= 0]


def honest_protocol(record: CrossValidateRecord) -> ProtocolRecord | None:
    """Give the protocol whose folds are new to their models, if it was run."""
    return next((protocol for protocol in record.protocols if not protocol.is_leaky), None)


def leaky_protocol(record: CrossValidateRecord) -> ProtocolRecord | None:
    """Give the protocol whose models had seen their folds, if it was run."""
    return next((protocol for protocol in record.protocols if protocol.is_leaky), None)


def accuracy_margin(protocol: ProtocolRecord, evaluate: EvaluateRecord) -> float:
    """Give two standard errors of the difference between the test and a single fold's accuracy."""
    accuracy, count = evaluate.scores.accuracy, max(evaluate.scores.count, 1)
    test_variance = accuracy * (1 - accuracy) / count
    mean = protocol.means["accuracy"]
    held_out = max(min(fold.validation_count for fold in protocol.folds), 1)
    # Two folds may agree by chance: one of so few images has at least the binomial variance.
    variance = max(protocol.standard_deviations["accuracy"] ** 2, mean * (1 - mean) / held_out)
    return 2 * math.sqrt(variance + test_variance)


_WIDELY_APART = 0.1
"""Scores that differ by more do not agree, even where few images leave that to chance."""


def agreement(
    protocol: ProtocolRecord, evaluate: EvaluateRecord, train: TrainRecord | None
) -> Literal["other length", "agrees", "few images", "differs"]:
    """Say how the accuracy of honest folds and that on the test split go together.

    "few images": far apart, but chance explains that. "other length": the folds were trained for
    longer or shorter than a least number of steps explains. (Folds have fewer images than the
    whole, so they need more epochs for as many steps, and a time budget makes a few more or fewer.)
    """
    if train is not None:
        epochs = protocol.epochs, train.epochs
        if max(epochs) > 1.5 * min(epochs):
            return "other length"
    apart = abs(evaluate.scores.accuracy - protocol.means["accuracy"])
    if apart > accuracy_margin(protocol, evaluate):
        return "differs"
    return "few images" if apart > _WIDELY_APART else "agrees"


RUN_SCORES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
}
"""The scores of a run, as a table's heading names them."""


def leading_score(record: RepeatsRecord) -> str:
    """Give the score to speak of: accuracy, unless it is that of the large classes."""
    return "balanced_accuracy" if record.is_imbalanced else "accuracy"


def repeats_text(record: RepeatsRecord) -> str:
    """Give a row a run, mean and standard deviation below, and what they mean."""
    lines = ["", f"run       seed  {'  '.join(RUN_SCORES.values())}  training"]
    lines += [
        f"{run.run:<4}{run.seed:>10}  {_cells([getattr(run, name) for name in RUN_SCORES])}  "
        f"{duration(run.training_seconds)}"
        for run in record.runs
    ]
    name = leading_score(record)
    lines += [
        f"{'mean':14}  {_cells([record.means[name] for name in RUN_SCORES])}",
        f"{'± deviation':14}  {_cells([record.standard_deviations[name] for name in RUN_SCORES])}",
        "",
        words("repeats", "spread", record, name, RUN_SCORES[name].lower()),
        words("repeats", "what_varies", record),
        words("repeats", "what_does_not", record),
        words("repeats", "meaning", record, name),
    ]
    return "\n".join(lines)


def _cells(values: list[float]) -> str:
    return "  ".join(
        f"{score(value, 4):>{len(title)}}"
        for value, title in zip(values, RUN_SCORES.values(), strict=True)
    )
