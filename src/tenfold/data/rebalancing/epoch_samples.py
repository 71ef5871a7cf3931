"""Which images an epoch shows where classes are over- or under-sampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tenfold.data.dataset import Labels
from tenfold.data.sample_randomness import derive_seed


def epoch_samples(
    labels: Labels, images_per_epoch: Sequence[int], *, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """Draw an epoch's images and their order: a function of seed and epoch alone.

    Parameters
    ----------
    labels
        int64, shape (N,).
    images_per_epoch
        Images wanted of each class; a class that is wanted has at least one.
    seed, epoch
        Of the training.

    Returns
    -------
    ndarray
        int64, shape (sum of `images_per_epoch`,). The image is the value modulo N; the n-th time
        (from 0) that an epoch shows it, the value is n · N more, so that every showing has random
        numbers of its own.
    """
    generator = np.random.default_rng(derive_seed(seed, "rebalancing", epoch))
    parts = []
    for label, wanted in enumerate(images_per_epoch):
        members = np.flatnonzero(labels == label)
        assert len(members) or not wanted
        whole, rest = divmod(wanted, max(len(members), 1))
        parts += [members + showing * len(labels) for showing in range(whole)]
        parts.append(generator.permutation(members)[:rest] + whole * len(labels))
    return generator.permutation(np.concatenate(parts))
