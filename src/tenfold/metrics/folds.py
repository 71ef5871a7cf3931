"""Mean and spread of scores over folds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tenfold.core.record import Interval
from tenfold.core.records.evaluation import FoldScores
from tenfold.metrics.shares import LEVEL

SCORE_NAMES = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
"""The scores of a fold that are averaged, in the order of Table 3."""


def fold_means(folds: Sequence[FoldScores]) -> dict[str, float]:
    """Give the mean of every score over the folds, each fold counting the same."""
    return {name: statistics.fmean(_values(folds, name)) for name in SCORE_NAMES}


def fold_standard_deviations(folds: Sequence[FoldScores]) -> dict[str, float]:
    """Give the sample standard deviation (divisor: folds - 1) of every score over the folds.

    It describes the folds seen; as folds share training images, it is no unbiased estimate of the
    spread between independent studies (Bengio and Grandvalet, JMLR 5, 2004).
    """
    assert len(folds) >= 2, "one fold has no spread"
    return {name: statistics.stdev(_values(folds, name)) for name in SCORE_NAMES}


def nadeau_bengio_intervals(folds: Sequence[FoldScores]) -> dict[str, Interval]:
    """Give a 95% interval of every score's mean that accounts for overlapping training sets.

    Two folds of k share most of their training images, so their scores are not independent and the
    usual ``s² / k`` is too small. The corrected variance is ``(1/k + n_test / n_train) s²``, with
    Student's quantile of k - 1 degrees (Nadeau and Bengio, Machine Learning 52, 2003,
    doi:10.1023/A:1024068626366). It is about models trained on as many images as a fold trains on.

    Parameters
    ----------
    folds
        At least 2, none of them trained on images that it was scored on.
    """
    from scipy.stats import t as student_t  # slow to import

    count = len(folds)
    assert count >= 2, "one fold has no spread"
    tested = statistics.fmean(fold.validation_count for fold in folds)
    trained = statistics.fmean(fold.train_count for fold in folds)
    quantile = float(student_t.ppf(1 - (1 - LEVEL) / 2, count - 1))
    intervals = {}
    for name in SCORE_NAMES:
        values = _values(folds, name)
        mean, deviation = statistics.fmean(values), statistics.stdev(values)
        half = quantile * deviation * math.sqrt(1 / count + tested / trained)
        intervals[name] = Interval(low=max(mean - half, 0.0), high=min(mean + half, 1.0))
    return intervals


def _values(folds: Sequence[FoldScores], name: str) -> list[float]:
    return [float(getattr(fold, name)) for fold in folds]
