"""Mean and spread of scores over folds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tenfold.core.records.cross_validate import FoldScores

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


def _values(folds: Sequence[FoldScores], name: str) -> list[float]:
    return [float(getattr(fold, name)) for fold in folds]
