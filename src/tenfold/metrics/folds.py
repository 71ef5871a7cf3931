"""Means and standard deviations over folds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from tenfold.core.records.cross_validate import FoldScores

SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1")


def fold_means(folds: Sequence[FoldScores]) -> dict[str, float]:
    """Give the mean of each score over the folds."""
    return _over_folds(folds, statistics.fmean)


def fold_standard_deviations(folds: Sequence[FoldScores]) -> dict[str, float]:
    """Give the sample standard deviation (divisor: folds - 1) of each score over the folds."""
    return _over_folds(folds, statistics.stdev)


def _over_folds(
    folds: Sequence[FoldScores], summary: Callable[[list[float]], float]
) -> dict[str, float]:
    return {score: summary([float(getattr(fold, score)) for fold in folds]) for score in SCORES}
