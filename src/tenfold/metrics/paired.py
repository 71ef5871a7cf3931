"""Two classifiers on the same images: is one better, or does it only look so?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tenfold.core.record import Interval

Floats = npt.NDArray[np.float64]

RESAMPLES = 5000


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Give the exact two-sided p-value of McNemar's test.

    Only images that one classifier gets right and the other wrong can tell the two apart. If both
    are equally good, each such image is as likely the one's as the other's (McNemar 1947,
    doi:10.1007/BF02295996; its use for classifiers: Dietterich 1998,
    doi:10.1162/089976698300017197).

    Parameters
    ----------
    only_first, only_second
        Images that only the first, or only the second, classifier gets right.
    """
    from scipy.stats import binomtest  # slow to import

    discordant = only_first + only_second
    return 1.0 if discordant == 0 else float(binomtest(only_first, discordant).pvalue)


def paired_interval(
    differences: Floats, generator: np.random.Generator, *, resamples: int = RESAMPLES
) -> Interval:
    """Give a 95% interval of a mean difference by a paired bootstrap over the images.

    Images are drawn again with replacement, each with both classifiers' answers on it; the ends are
    percentiles (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Parameters
    ----------
    differences
        One an image, for example 1 where only the first is right, -1 where only the second is, and
        0 elsewhere. Shape (N,), N at least 1.
    generator
        Of the resamples.
    resamples
        Number of resamples.
    """
    values, counts = np.unique(differences, return_counts=True)
    # Few values occur, so drawing how often each of them is drawn is the same and much faster.
    drawn = generator.multinomial(len(differences), counts / len(differences), size=resamples)
    low, high = np.quantile(drawn @ values / len(differences), (0.025, 0.975))
    return Interval(low=float(low), high=float(high))


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Give p-values adjusted for being several: below 0.05 is rare for even one of equal pairs.

    Holm's step-down method (Holm 1979, https://www.jstor.org/stable/4615733).
    """
    count = len(p_values)
    adjusted = [0.0] * count
    highest = 0.0
    for rank, place in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        highest = max(highest, min((count - rank) * p_values[place], 1.0))
        adjusted[place] = highest
    return adjusted
