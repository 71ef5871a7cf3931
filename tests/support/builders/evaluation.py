"""Plausible records of the evaluate stage."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenfold.core.records.calibration import (
    CalibrationRecord,
    CalibrationScores,
    CoveragePoint,
    ReliabilityBin,
)
from tenfold.core.records.evaluate import (
    ClassificationScores,
    ClassScores,
    EvaluateRecord,
    ViewsScores,
)
from tenfold.core.records.interval import Interval
from tenfold.core.records.robustness import CorruptionScores, RobustnessRecord
from tenfold.data.corruptions import CORRUPTIONS
from tenfold.metrics.intervals import score_intervals
from tenfold.metrics.shares import wilson_interval

SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1")


def scores_of(confusion: npt.NDArray[np.int64], classes: tuple[str, ...]) -> ClassificationScores:
    """Compute all scores of a confusion matrix, as the metrics do."""
    cases, predictions = confusion.sum(axis=1), confusion.sum(axis=0)
    correct = np.diag(confusion)
    precision = np.divide(correct, predictions, out=np.zeros(len(cases)), where=predictions > 0)
    recall = np.divide(correct, cases, out=np.zeros(len(cases)), where=cases > 0)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros(len(cases)), where=both > 0)
    return ClassificationScores(
        count=int(confusion.sum()),
        accuracy=float(correct.sum() / confusion.sum()),
        macro_precision=float(precision.mean()),
        macro_recall=float(recall.mean()),
        macro_f1=float(f1.mean()),
        balanced_accuracy=float(recall[cases > 0].mean()),
        log_loss=0.98,
        classes=tuple(
            ClassScores(
                name=name,
                total_cases=int(cases[i]),
                total_predictions=int(predictions[i]),
                correct=int(correct[i]),
                precision=float(precision[i]),
                recall=float(recall[i]),
                f1=float(f1[i]),
            )
            for i, name in enumerate(classes)
        ),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def evaluate_record(confusion: npt.NDArray[np.int64], classes: tuple[str, ...]) -> EvaluateRecord:
    """Give the record of an evaluation with this confusion matrix."""
    scores = scores_of(confusion, classes)
    return EvaluateRecord(
        weights="last",
        scores=scores,
        intervals=score_intervals(scores, np.random.default_rng(0), resamples=200),
        calibration=calibration_record(scores.accuracy, scores.count),
        with_views=ViewsScores(
            views=2,
            is_mirrored=True,
            is_shifted=False,
            accuracy=min(1.0, scores.accuracy + 0.01),
            interval=Interval(low=scores.accuracy, high=min(1.0, scores.accuracy + 0.02)),
        ),
        robustness=robustness_record(scores.accuracy),
        images_per_second=5200.0,
        seconds=1.9,
    )


def calibration_record(
    accuracy: float, count: int, *, gap: float = 0.08, temperature: float | None = 1.8
) -> CalibrationRecord:
    """Give a calibration that is `gap` too sure before scaling and nearly right after it."""

    def scores(excess: float) -> CalibrationScores:
        accuracies = np.linspace(max(2 * accuracy - 1, 0.02), 1, 15)
        confidences = (accuracies + excess).clip(0, 1)
        size = max(count // 15, 1)
        return CalibrationScores(
            expected_calibration_error=float(abs(confidences - accuracies).mean()),
            log_loss=0.9 + excess,
            brier_score=0.4 + excess / 2,
            mean_confidence=float(confidences.mean()),
            bins=tuple(
                ReliabilityBin(
                    count=size,
                    confidence=float(confidence),
                    accuracy=float(share),
                    interval=wilson_interval(round(share * size), size),
                )
                for confidence, share in zip(confidences, accuracies, strict=True)
            ),
        )

    shares = np.linspace(0.01, 1, 100)
    return CalibrationRecord(
        temperature=temperature,
        before=scores(gap),
        after=scores(gap if temperature is None else 0.005),
        chance_calibration_error=0.011,
        coverage=tuple(
            CoveragePoint(
                coverage=float(share),
                accuracy=float(1 - (1 - accuracy) * share**2),
                least_confidence=float(1 - 0.75 * share),
            )
            for share in shares
        ),
    )


def robustness_record(accuracy: float, count: int = 2000) -> RobustnessRecord:
    """Give a robustness in which noise hurts most and JPEG not at all."""
    corruptions = []
    for place, corruption in enumerate(CORRUPTIONS):
        worst = {"noise": 0.5, "JPEG": 0.0}.get(corruption.name, 0.03 + 0.02 * place)
        accuracies = tuple(float(accuracy * (1 - worst * k / 5)) for k in range(1, 6))
        fall = accuracy - sum(accuracies) / 5
        corruptions.append(
            CorruptionScores(
                name=corruption.name,
                description=corruption.description,
                unit=corruption.unit,
                strengths=corruption.strengths,
                accuracies=accuracies,
                fall=fall,
                fall_interval=Interval(low=fall - 0.01, high=fall + 0.01),
            )
        )
    return RobustnessRecord(
        count=count,
        accuracy=accuracy,
        interval=wilson_interval(round(accuracy * count), count),
        corruptions=tuple(corruptions),
        seconds=8.0,
    )


def random_confusion(class_count: int, cases: int, accuracy: float) -> npt.NDArray[np.int64]:
    """Draw a confusion matrix with a seed; class 3 is made the hardest where there is one."""
    random = np.random.default_rng(7)
    confusion = np.zeros((class_count, class_count), dtype=np.int64)
    for i in range(class_count):
        right = accuracy - (0.2 if i == 3 else 0.0)
        weights = random.dirichlet(np.full(class_count, 0.35)) * (1 - right)
        weights[i] += right
        confusion[i] = random.multinomial(cases, weights / weights.sum())
    return confusion
