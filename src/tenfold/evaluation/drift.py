"""Whether answers in use are spread as those on the test images were.

Two samples are compared by permutation: were both of one population, then any assignment of the
pooled answers to the two would be as probable as the one that was seen. So the level is exact for
rare classes and small test splits too, where the chi-square approximation is not, and nothing but
NumPy is needed. (Fisher, "The Design of Experiments", 1935; Phipson and Smyth, "Permutation
P-values Should Never Be Zero", 2010.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.records.guarantees import AnswersOnTest, UnlikeRecord

LEVEL = 0.001
"""Of all tests of one window together: one window in a thousand is called drifting without any."""
CONFIDENCE_BINS = 50
_FEW_DRAWS, _DRAWS = 999, 19_999
_CLEARLY_ABOVE = 0.02
"""A share of the few draws above which no more of them are needed."""
_MOST_VALUES = 2_000_000
Counts = npt.NDArray[np.int64]
Statistic = Callable[[Counts, Counts], npt.NDArray[np.float64]]


def answers_on_test(
    probabilities: npt.NDArray[np.float32], unlike: UnlikeRecord | None = None
) -> AnswersOnTest:
    """Give what answers in use are compared with.

    Parameters
    ----------
    probabilities
        Calibrated, of the test images, shape (N, classes).
    unlike
        Of the model; validation images stand for the test images where these were not measured.
    """
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    confidences = confidence_counts(probabilities.max(axis=1))
    flagged = scored = None
    if unlike is not None and unlike.test is not None:
        flagged, scored = unlike.test.flagged, unlike.test.count
    elif unlike is not None:
        scored = unlike.held_out_count
        flagged = round((1 - unlike.kept_share) * scored)
    return AnswersOnTest(
        class_counts=tuple(counts.tolist()),
        confidence_counts=tuple(confidences.tolist()),
        mean_confidence=float(probabilities.max(axis=1).mean(dtype=np.float64)),
        unlike_count=flagged,
        scored_count=scored,
    )


def confidence_counts(confidences: npt.NDArray[np.float32]) -> Counts:
    """Count confidences, shape (N,), in bins of equal width from 0 to 1."""
    places = (confidences * CONFIDENCE_BINS).astype(np.int64).clip(0, CONFIDENCE_BINS - 1)
    counts: Counts = np.bincount(places, minlength=CONFIDENCE_BINS)
    return counts


def likelihood_ratio(one: Counts, other: Counts) -> npt.NDArray[np.float64]:
    """Give G of rows of two samples' counts, shape (N, bins), up to what the pooled counts say."""
    sums: npt.NDArray[np.float64] = _times_log(one).sum(axis=1) + _times_log(other).sum(axis=1)
    return sums


def largest_distance(one: Counts, other: Counts) -> npt.NDArray[np.float64]:
    """Give the Kolmogorov-Smirnov distance of rows of two samples' counts in ordered bins."""
    shares = (np.cumsum(rows, axis=1) / rows.sum(axis=1, keepdims=True) for rows in (one, other))
    distances: npt.NDArray[np.float64] = np.abs(next(shares) - next(shares)).max(axis=1)
    return distances


def permutation_p_value(
    expected: Counts, seen: Counts, statistic: Statistic, generator: np.random.Generator
) -> float:
    """Give how probable it is that two samples of one population differ as these do, or more.

    `expected` and `seen` count both samples by bin; `statistic` is larger the more they differ.
    """
    is_used = expected + seen > 0
    pooled, seen = (expected + seen)[is_used], seen[is_used]
    size = int(seen.sum())
    if len(pooled) < 2 or not 0 < size < pooled.sum():
        return 1.0
    observed = statistic(seen[None], (pooled - seen)[None])[0]
    least = observed - 1e-9 * max(1.0, abs(observed))  # what is equal is not less by rounding
    drawn = extreme = 0
    for draws in (_FEW_DRAWS, _DRAWS):
        while drawn < draws:
            count = min(draws - drawn, max(1, _MOST_VALUES // len(pooled)))
            rows = generator.multivariate_hypergeometric(pooled, size, count, method="marginals")
            extreme += int((statistic(rows, pooled - rows) >= least).sum())
            drawn += count
        if extreme + 1 > _CLEARLY_ABOVE * (drawn + 1):
            break
    return (extreme + 1) / (drawn + 1)


def _times_log(counts: Counts) -> npt.NDArray[np.float64]:
    values: npt.NDArray[Any] = counts.astype(np.float64)
    result: npt.NDArray[np.float64] = values * np.log(np.maximum(values, 1))
    return result
