"""A smaller sample of a split with the same shares of the classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenfold.data.dataset import Labels


def stratified_sample(labels: Labels, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw about `count` images, of each class its share, and at least one where it has any.

    Parameters
    ----------
    labels
        int64, shape (N,).
    count
        Images wanted; all are given where there are no more.
    seed
        Of the draw.

    Returns
    -------
    ndarray
        int64, indices in ascending order.
    """
    if len(labels) <= count:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: max(round(len(members) * count / len(labels)), 1)])
    return np.sort(np.concatenate(chosen))
