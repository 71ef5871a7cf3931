"""Groups of images that must not be torn apart by a split, and how they are found by hash."""

from __future__ import annotations

import hashlib
from itertools import chain

import numpy as np
import numpy.typing as npt

from tenfold.data.dataset import Images, Labels

Indices = npt.NDArray[np.int64]
Groups = npt.NDArray[np.int64]
"""Shape (N,): images with the same number belong together. The number is the place of the group's
first image, so an image alone has its own place as its number."""


def exact_groups(*parts: Images) -> Groups:
    """Group images whose pixels are the same, byte for byte.

    Parameters
    ----------
    parts
        uint8, shape (N, H, W, C) each; numbered on from one part to the next.
    """
    first_place: dict[bytes, int] = {}
    groups = np.empty(sum(len(part) for part in parts), np.int64)
    for place, image in enumerate(chain.from_iterable(parts)):
        digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        groups[place] = first_place.setdefault(digest, place)
    return groups


def groups_of_pairs(count: int, first: Indices, second: Indices) -> Groups:
    """Group images that are joined by pairs, directly or over others.

    Parameters
    ----------
    count
        Number of images.
    first, second
        int64, shape (P,): the images of each pair.
    """
    from scipy.sparse import coo_array  # slow to import
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    _, component = connected_components(links, directed=False)
    _, first_place = np.unique(component, return_index=True)
    groups: Groups = first_place[component].astype(np.int64)
    return groups


def joined_groups(one: Groups, other: Groups) -> Groups:
    """Group images that either of two groupings puts together."""
    place = np.arange(len(one))
    return groups_of_pairs(len(one), np.concatenate([place, place]), np.concatenate([one, other]))


def representatives(groups: Groups) -> npt.NDArray[np.bool_]:
    """Say of each image whether it is the first of its group; shape (N,)."""
    result: npt.NDArray[np.bool_] = groups == np.arange(len(groups))
    return result


def regrouped(groups: Groups, chosen: Indices) -> Groups:
    """Give the groups of some of the images, numbered by their places among these."""
    _, first_place, inverse = np.unique(groups[chosen], return_index=True, return_inverse=True)
    result: Groups = first_place[inverse].astype(np.int64)
    return result


def divisible_groups(labels: Labels, groups: Groups | None, parts: int) -> Groups:
    """Give the groups, those of classes with fewer groups than parts taken apart.

    A class of ten copies of one image can be held out in part or not at all; the first is asked
    for. The images of a group that spans such a class and another go apart too.
    """
    alone = np.arange(len(labels))
    if groups is None or not len(labels):
        return alone
    present = np.unique(labels)
    while True:
        counts = np.bincount(labels[representatives(groups)], minlength=present[-1] + 1)
        scarce = present[counts[present] < parts]
        is_torn = np.isin(groups, groups[np.isin(labels, scarce)]) & (groups != alone)
        if not is_torn.any():
            return groups
        groups = np.where(np.isin(groups, groups[is_torn]), alone, groups)
