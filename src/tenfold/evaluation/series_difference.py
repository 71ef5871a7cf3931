"""Whether images whose series training has seen are easier: a permutation test over series."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenfold.data.dataset import Groups

FEWEST_IMAGES = 30
"""In each of the two groups; a score of fewer is no ground for a claim."""
PERMUTATIONS = 1999
_BLOCK = 200

Floats = npt.NDArray[np.float64]


def series_p_value(
    is_right: npt.NDArray[np.bool_],
    is_shared: npt.NDArray[np.bool_],
    series: Groups,
    generator: np.random.Generator,
    *,
    permutations: int = PERMUTATIONS,
) -> float | None:
    """Give the two-sided p-value of a difference in accuracy between two groups of whole series.

    Images of one series are right or wrong together, so not images but whole series change groups
    at random. The difference is divided by its standard error with series as clusters: such a
    test keeps its level where sizes and spreads of the two groups differ (Chung and Romano, "Exact
    and asymptotically robust permutation tests", Annals of Statistics 41, 2013).

    Parameters
    ----------
    is_right
        Whether the model names an image's class, shape (N,).
    is_shared
        Whether an image is of the one group or the other, shape (N,); the same within a series.
    series
        int64, shape (N,).
    generator
        Of the permutations.
    permutations
        Number of permutations.

    Returns
    -------
    From 1 / (permutations + 1) to 1; None where a group has fewer than `FEWEST_IMAGES` images or
    than two series.
    """
    if min(int(is_shared.sum()), int((~is_shared).sum())) < FEWEST_IMAGES:
        return None
    _, first, inverse = np.unique(series, return_index=True, return_inverse=True)
    sizes = np.bincount(inverse).astype(np.float64)
    right = np.bincount(inverse, is_right)
    in_one = is_shared[first]
    if min(int(in_one.sum()), int((~in_one).sum())) < 2:
        return None
    sums = np.stack([np.ones_like(sizes), sizes, right, sizes**2, sizes * right, right**2], axis=1)
    found = abs(_studentised(in_one[None], sums)[0])
    as_far = 0
    for start in range(0, permutations, _BLOCK):
        count = min(_BLOCK, permutations - start)
        drawn = generator.permuted(np.tile(in_one, (count, 1)), axis=1)
        as_far += int((np.abs(_studentised(drawn, sums)) >= found - 1e-9).sum())
    return (1 + as_far) / (1 + permutations)


def _studentised(in_one: npt.NDArray[np.bool_], sums: Floats) -> Floats:
    """Give differences in accuracy by their standard errors, one a row of series' groups."""
    one = in_one.astype(np.float64) @ sums
    parts = [_accuracy_and_variance(part) for part in (one, sums.sum(axis=0) - one)]
    difference = parts[0][0] - parts[1][0]
    # All right or all wrong in both has no variance: any difference is infinitely far then.
    error = np.sqrt(np.maximum(parts[0][1] + parts[1][1], 1e-18))
    studentised: Floats = difference / error
    return studentised


def _accuracy_and_variance(sums: Floats) -> tuple[Floats, Floats]:
    count, images, right, size_squares, products, right_squares = sums.T
    accuracy = right / images
    residuals = right_squares - 2 * accuracy * products + accuracy**2 * size_squares
    return accuracy, count / (count - 1) * np.maximum(residuals, 0) / images**2
