"""A difference that two kinds of luck move: which images were drawn, and which seeds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenfold.core.record import Interval


def crossed_interval(differences: npt.NDArray[np.floating]) -> Interval:
    """Give a 95% interval of a mean difference, images and seeds both taken as draws.

    The variance of the mean is that over seeds (of the images' means) divided by their number,
    plus that over images (of the seeds' means) divided by theirs. The second holds a little of the
    first, so the interval errs on the wide side. Degrees of freedom after Satterthwaite (1946,
    doi:10.2307/3002019). One seed says nothing of seeds: then the images alone count.

    Parameters
    ----------
    differences
        Shape (seeds, images), for example 1 where only the first classifier is right, -1 where
        only the second is, 0 elsewhere; at least two images.
    """
    from scipy.stats import t as student_t  # slow to import

    seeds, images = differences.shape
    assert images >= 2
    parts = [(differences.mean(0).var(ddof=1) / images, images - 1)]
    if seeds > 1:
        parts.append((differences.mean(1).var(ddof=1) / seeds, seeds - 1))
    variance = float(sum(part for part, _ in parts))
    mean = float(differences.mean())
    if variance == 0:
        return Interval(low=mean, high=mean)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    reach = float(student_t.ppf(0.975, freedom)) * variance**0.5
    return Interval(low=mean - reach, high=mean + reach)
