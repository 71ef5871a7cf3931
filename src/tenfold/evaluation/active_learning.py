"""Which unlabelled images to label next: those that are unsure, and unlike each other.

BADGE (Ash et al., "Deep batch active learning by diverse, uncertain gradient lower bounds", ICLR
2020, arXiv 1906.03671): an image stands for the gradient that the last layer would get from it, if
its most probable class were its label. That gradient is long where the model is unsure, and points
where the image's features and classes do. The images are drawn as k-means++ draws its first
centres (Arthur and Vassilvitskii, SODA 2007): each in proportion to its squared distance to the
nearest one drawn before. docs/experiments.md compares it with others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

Features = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

Method = Callable[[Features, Floats, int, np.random.Generator], Places]
"""Takes features (N, D), probabilities (N, classes) and how many; gives places in their order."""

_LEAST_DEVIATION = 1e-6
_PREFILTER = 10
"""Times the images wanted: the unsure ones that are clustered. As in arXiv 1901.05954."""


def margins(probabilities: Floats) -> Floats:
    """Give how much more probable the first class is than the second, 0 to 1; shape (N,)."""
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities))
    first_two = np.partition(probabilities, -2, axis=1)[:, -2:]
    result: Floats = first_two[:, 1] - first_two[:, 0]
    return result


def standardised(features: Features) -> Features:
    """Give features of mean 0 and deviation 1 over the images; constant ones become 0."""
    deviation = features.std(0, dtype=np.float64)
    scale = np.where(deviation > _LEAST_DEVIATION, 1 / np.maximum(deviation, 1e-12), 0)
    moved = features - features.mean(0, dtype=np.float64).astype(np.float32)
    result: Features = moved * scale.astype(np.float32)
    return result


def choose_by_gradients(
    features: Features, probabilities: Floats, count: int, generator: np.random.Generator
) -> Places:
    """Draw images by BADGE.

    The gradient of the last layer is the outer product of the probabilities' error and the
    features, so products of gradients are products of both parts' and none is ever made whole.

    Parameters
    ----------
    features
        Shape (N, D), see `standardised`.
    probabilities
        Shape (N, classes).
    count
        Images wanted; at most N are given.
    generator
        Of the draws.

    Returns
    -------
    Places
        int64, in the order of the draws: the longest gradient first.
    """
    error = probabilities.copy()
    error[np.arange(len(error)), probabilities.argmax(1)] -= 1
    feature_norms = np.einsum("nd,nd->n", features, features, dtype=np.float64)
    norms = np.einsum("nk,nk->n", error, error) * feature_norms
    distances = np.full(len(features), np.inf)
    is_left = np.ones(len(features), bool)
    chosen: list[int] = []
    place = int(norms.argmax()) if len(norms) else 0
    for _ in range(min(count, len(features))):
        chosen.append(place)
        is_left[place] = False
        products = (error @ error[place]) * (features @ features[place])
        distances = np.minimum(distances, np.maximum(norms + norms[place] - 2 * products, 0))
        weights = np.where(is_left, distances, 0)
        # Copies of what was drawn have no distance left; they come last, in their order.
        total = weights.sum()
        if total > 0:
            place = int(np.searchsorted(weights.cumsum(), generator.random() * total, "right"))
            place = min(place, int(np.flatnonzero(weights)[-1]))
        else:
            place = int(is_left.argmax())
    return np.array(chosen, np.int64)


def choose_by_clusters(
    features: Features, probabilities: Floats, count: int, generator: np.random.Generator
) -> Places:
    """Cluster the unsure images, and take the one nearest to each centre; the least sure first.

    Zhdanov, "Diverse mini-batch active learning" (2019), arXiv 1901.05954; parameters and result as
    of `choose_by_gradients`.
    """
    gap = margins(probabilities)
    count = min(count, len(gap))
    unsure = np.argsort(gap, kind="stable")[: _PREFILTER * count].astype(np.int64)
    if len(unsure) == count:
        return unsure
    weights = 1 - gap[unsure] + 1e-6
    seed = int(generator.integers(2**31))
    means = KMeans(count, n_init=1, random_state=seed)
    with warnings.catch_warnings():  # of copies of an image, which make fewer clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        means.fit(features[unsure], sample_weight=weights)
    taken: dict[int, None] = {}
    to_centres = means.transform(features[unsure])
    for cluster in range(count):
        for place in np.argsort(to_centres[:, cluster], kind="stable").tolist():
            if place not in taken:
                taken[place] = None
                break
    result: Places = np.sort(unsure[list(taken)])
    return result[np.argsort(gap[result], kind="stable")]


def choose_by_margin(
    features: Features, probabilities: Floats, count: int, generator: np.random.Generator
) -> Places:
    """Take the images of the smallest margin, however alike they are.

    Parameters and result as of `choose_by_gradients`.
    """
    del features, generator
    return np.argsort(margins(probabilities), kind="stable")[:count].astype(np.int64)
