"""Intervals of shares: so many of so many."""

from __future__ import annotations

import math

from tenfold.core.record import Interval

LEVEL = 0.95
"""How often an interval covers the truth, over many test sets."""

NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at ``1 - (1 - LEVEL) / 2``."""


def wilson_interval(part: int, whole: int, *, design_effect: float = 1.0) -> Interval:
    """Give Wilson's interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    It needs no large counts and never leaves 0 to 1: a class without a single error still has an
    interval of some width.

    Parameters
    ----------
    part, whole
        How many of how many; of none, nothing is known: 0 to 1.
    design_effect
        Variance of the share over that of one of independent images: below 1, the images tell as
        much as more of them would.
    """
    if whole < 1:
        return Interval(low=0.0, high=1.0)
    share, square, count = part / whole, NORMAL_QUANTILE**2, whole / design_effect
    centre = (share + square / (2 * count)) / (1 + square / count)
    variance = share * (1 - share) / count + square / (4 * count * count)
    half = NORMAL_QUANTILE / (1 + square / count) * math.sqrt(variance)
    # At the ends the two terms are equal but for rounding.
    low = 0.0 if part == 0 else max(centre - half, 0.0)
    high = 1.0 if part == whole else min(centre + half, 1.0)
    return Interval(low=low, high=high)


def f1_interval(
    correct: int, cases: int, predictions: int, *, design_effect: float = 1.0
) -> Interval:
    """Give an interval of one class's F1 by way of Wilson's.

    F1 is a growing function, ``2q / (1 + q)``, of the share q of right answers among all images
    that are of the class or were named it; Wilson's interval of q, so transformed, is the "Wilson
    indirect" interval of Lam, Gopal and Qian (arXiv 2309.14621), which unlike a bootstrap keeps its
    width where a class has no error.

    Parameters
    ----------
    correct, cases, predictions
        Images of the class that were named it, images of the class, images that were named it.
    design_effect
        Of the share, see `wilson_interval`.
    """
    share = wilson_interval(correct, cases + predictions - correct, design_effect=design_effect)
    return Interval(low=2 * share.low / (1 + share.low), high=2 * share.high / (1 + share.high))
