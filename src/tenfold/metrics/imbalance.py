"""How unevenly images are spread over classes, and whether two rankings go together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.core.records.data import AcquireRecord

IMBALANCE_RATIO = 1.5
"""Largest over smallest class from which on a split is called imbalanced."""


@dataclass(frozen=True)
class Imbalance:
    """How unevenly images are spread over classes.

    Parameters
    ----------
    ratio
        Largest over smallest class; infinite where a class has no image.
    effective_classes
        The number of equally large classes that would be as hard to guess: the exponential of the
        shares' entropy (Hill 1973, doi:10.2307/1934352).
    """

    ratio: float
    effective_classes: float

    @classmethod
    def of(cls, counts: Sequence[int]) -> Imbalance:
        """Measure it from the number of images of each class."""
        total, smallest = sum(counts), min(counts)
        shares = [number / total for number in counts if number] if total else []
        return cls(
            max(counts) / smallest if smallest else math.inf,
            math.exp(-sum(share * math.log(share) for share in shares)),
        )

    @property
    def is_uneven(self) -> bool:
        """Whether accuracy may no longer stand alone."""
        return self.ratio >= IMBALANCE_RATIO

    @property
    def has_empty_class(self) -> bool:
        """Whether a class has no image."""
        return math.isinf(self.ratio)


def is_imbalanced(acquire: AcquireRecord) -> bool:
    """Say whether the training or the test split is imbalanced."""
    splits = [counts for counts in (acquire.train_counts, acquire.test_counts) if any(counts)]
    return any(Imbalance.of(counts).is_uneven for counts in splits)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Give Spearman's rank correlation; None where a side is all equal or there are under 4 values.

    Ties share their mean rank (Spearman 1904, doi:10.2307/1412159).
    """
    from scipy.stats import spearmanr

    if len(first) < 4 or min(first) == max(first) or min(second) == max(second):
        return None
    return float(spearmanr(first, second).statistic)
