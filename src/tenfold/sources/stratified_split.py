"""Split labelled images into training and test, the same share of each class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import SettingsError
from tenfold.data.dataset import Labels
from tenfold.data.duplicate_groups import Groups, divisible_groups, representatives

Indices = npt.NDArray[np.intp]


def stratified_split(
    labels: Labels,
    test_fraction: float,
    rng: np.random.Generator,
    groups: Groups | None = None,
) -> tuple[Indices, Indices]:
    """Give the indices of a training and a test split, each in a random order.

    Of every class the share `test_fraction`, rounded, goes to the test split: at least one image
    and never all of them. A class with a single image stays in training.

    Parameters
    ----------
    labels
        int64, shape (N,).
    test_fraction
        Between 0 and 1, both excluded.
    rng
        Where the order comes from.
    groups
        Images that must be in one split, see `tenfold.data.duplicate_groups`: a copy of a training
        image in the test split would make the scores too good.

    Raises
    ------
    SettingsError
        If `test_fraction` is out of range.
    """
    if not 0.0 < test_fraction < 1.0:
        raise SettingsError(
            f"test_fraction is {test_fraction}; it must lie between 0 and 1, for example 0.2."
        )
    groups = divisible_groups(labels, groups, 2)
    is_first = representatives(groups)
    order = rng.permutation(len(labels))
    is_test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = order[(labels[order] == label) & is_first[order]]
        count = min(max(round(len(members) * test_fraction), 1), len(members) - 1)
        is_test[members[:count]] = True
    is_test = is_test[groups]
    return order[~is_test[order]], order[is_test[order]]
