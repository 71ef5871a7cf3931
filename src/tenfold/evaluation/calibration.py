"""Whether probabilities can be believed: reliability, its error by chance, and coverage."""

from __future__ import annotations

import math

import numpy as np

from tenfold.core.records.evaluation import (
    CalibrationRecord,
    CalibrationScores,
    CoveragePoint,
    ReliabilityBin,
)
from tenfold.data.dataset import Labels
from tenfold.evaluation.intervals import wilson_interval
from tenfold.evaluation.scores import Floats, Probabilities, mean_log_loss

BINS = 15
"""As Guo et al. use (arXiv 1706.04599); here with the same number of images in each, which Nixon
et al. (arXiv 1904.01685) show to be the steadier estimate."""

_LEAST_IMAGES_A_BIN = 20
"""Fewer bins are made of fewer images: a bin's accuracy over less is mostly noise."""

_CHANCE_DRAWS = 1000
_COVERAGE_POINTS = 100


def calibration_record(
    before: Probabilities,
    after: Probabilities,
    labels: Labels,
    *,
    temperature: float | None,
    generator: np.random.Generator,
) -> CalibrationRecord:
    """Compare probabilities with what happened, before and after temperature scaling.

    Parameters
    ----------
    before, after
        Shape (N, K), rows sum to 1.
    labels
        True classes, shape (N,).
    temperature
        That made `after` of `before`; None if none was fitted.
    generator
        Of the simulation of a perfectly calibrated model.
    """
    return CalibrationRecord(
        temperature=temperature,
        before=calibration_scores(before, labels),
        after=calibration_scores(after, labels),
        chance_calibration_error=chance_calibration_error(_confidence(after), generator),
        coverage=coverage_curve(after, labels),
    )


def calibration_scores(probabilities: Probabilities, labels: Labels) -> CalibrationScores:
    """Give expected calibration error, log-loss and Brier score.

    Parameters
    ----------
    probabilities
        Shape (N, K), rows sum to 1, N at least 1.
    labels
        True classes, shape (N,).
    """
    confidence = _confidence(probabilities)
    is_right = probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    bins = []
    for members in np.array_split(order, bin_count(len(labels))):
        right = int(is_right[members].sum())
        bins.append(
            ReliabilityBin(
                count=len(members),
                confidence=float(confidence[members].mean()),
                accuracy=right / len(members),
                interval=wilson_interval(right, len(members)),
            )
        )
    error = sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / len(labels)
    truth = np.zeros(probabilities.shape)
    truth[np.arange(len(labels)), labels] = 1
    return CalibrationScores(
        expected_calibration_error=error,
        log_loss=mean_log_loss(labels, probabilities),
        brier_score=float(((probabilities - truth) ** 2).sum(axis=1).mean()),
        mean_confidence=float(confidence.mean()),
        bins=tuple(bins),
    )


def bin_count(images: int) -> int:
    """Give the number of bins: `BINS`, or fewer where there are few images."""
    return max(min(BINS, images // _LEAST_IMAGES_A_BIN), 1)


def chance_calibration_error(confidence: Floats, generator: np.random.Generator) -> float:
    """Give the error that chance alone makes, in 19 of 20 cases at most.

    The expected calibration error of a perfectly calibrated model is above 0, since a bin's
    accuracy is counted on few images. Here a model that is right exactly as often as it says is
    simulated (consistency resampling: Bröcker and Smith 2007, doi:10.1175/WAF993.1).

    Parameters
    ----------
    confidence
        Probabilities of the predicted classes, shape (N,).
    generator
        Of the simulated outcomes.
    """
    parts = np.array_split(np.sort(confidence), bin_count(len(confidence)))
    errors = np.zeros(_CHANCE_DRAWS)
    for part in parts:
        outcomes = generator.random((_CHANCE_DRAWS, len(part))) < part
        errors += np.abs(outcomes.sum(axis=1) - part.sum()) / len(confidence)
    return float(np.quantile(errors, 0.95))


def coverage_curve(probabilities: Probabilities, labels: Labels) -> tuple[CoveragePoint, ...]:
    """Give the accuracy on the images the model is surest of, for growing shares of the images.

    Known as selective accuracy, or the risk-coverage curve (El-Yaniv and Wiener, JMLR 11, 2010).

    Parameters
    ----------
    probabilities
        Shape (N, K).
    labels
        True classes, shape (N,).

    Returns
    -------
    tuple of CoveragePoint
        At most 100, from the smallest coverage to all images.
    """
    confidence = _confidence(probabilities)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum(probabilities.argmax(axis=1)[order] == labels[order])
    count = len(labels)
    points = min(_COVERAGE_POINTS, count)
    ends = sorted({math.ceil(count * (place + 1) / points) for place in range(points)})
    return tuple(
        CoveragePoint(
            coverage=end / count,
            accuracy=float(right[end - 1] / end),
            least_confidence=float(confidence[order[end - 1]]),
        )
        for end in ends
    )


def _confidence(probabilities: Probabilities) -> Floats:
    highest: Floats = probabilities.max(axis=1).astype(np.float64)
    return highest
