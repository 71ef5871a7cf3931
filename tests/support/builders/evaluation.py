"""Records of the evaluate stage, computed from a confusion matrix as the stage computes them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenfold.core.records.evaluation import ClassificationScores, EvaluateRecord
from tenfold.evaluation.calibration import calibration_record
from tenfold.evaluation.intervals import score_intervals
from tenfold.evaluation.scores import classification_scores

_SURE = 0.9
"""The probability that every predicted class has."""


def _predictions(
    confusion: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Give labels and probabilities of test images with this confusion matrix."""
    size = len(confusion)
    labels = np.repeat(np.arange(size), confusion.sum(axis=1))
    predicted = np.concatenate([np.repeat(np.arange(size), row) for row in confusion])
    probabilities = np.full((len(labels), size), (1 - _SURE) / (size - 1))
    probabilities[np.arange(len(labels)), predicted] = _SURE
    return labels, probabilities


def scores_of(confusion: npt.NDArray[np.int64], classes: tuple[str, ...]) -> ClassificationScores:
    """Give all scores of a confusion matrix."""
    return classification_scores(*_predictions(confusion), classes)


def evaluate_record(confusion: npt.NDArray[np.int64], classes: tuple[str, ...]) -> EvaluateRecord:
    """Give the record of an evaluation with this confusion matrix."""
    labels, probabilities = _predictions(confusion)
    scores, generator = scores_of(confusion, classes), np.random.default_rng(0)
    return EvaluateRecord(
        weights="last",
        scores=scores,
        intervals=score_intervals(scores, generator, resamples=200),
        calibration=calibration_record(
            probabilities, probabilities, labels, temperature=None, generator=generator
        ),
        with_views=None,
        robustness=None,
        images_per_second=5200.0,
        seconds=1.9,
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
