"""Pairs of images by their places in one numbering, and what was measured of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tenfold.data.dataset import Indices


@dataclass(frozen=True, eq=False)
class ImagePairs:
    """Pairs of images by their place in one numbering of all images.

    Parameters
    ----------
    first, second
        int64, shape (P,); ``first < second``.
    is_mirrored
        bool, shape (P,): whether the second image is compared as its mirror image.
    agreement
        float32, shape (P,): how well the two fit each other, at most 1; 0 where not measured.
    is_exact
        bool, shape (P,): whether the pixels are known to be the same.
    """

    first: Indices
    second: Indices
    is_mirrored: npt.NDArray[np.bool_]
    agreement: npt.NDArray[np.float32]
    is_exact: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        assert (self.first < self.second).all()

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def of(cls, one: Indices, other: Indices, *, is_mirrored: bool) -> Self:
        """Give unmeasured pairs in any order; a pair of an image with itself is left out."""
        kept = one != other
        first, second = np.minimum(one, other)[kept], np.maximum(one, other)[kept]
        return cls(
            first,
            second,
            np.full(len(first), is_mirrored),
            np.zeros(len(first), np.float32),
            np.zeros(len(first), bool),
        )

    @classmethod
    def joined(cls, *parts: Self) -> Self:
        """Put several lists of pairs into one; of the same pair only one is kept."""
        first, second, is_mirrored, agreement, is_exact = (
            np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)
        )
        order = np.lexsort((~is_exact, -agreement, is_mirrored, second, first))
        ordered = np.stack([first, second, is_mirrored], axis=1)[order]
        is_new = np.ones(len(order), bool)
        is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        chosen = order[is_new]
        return cls(
            first[chosen],
            second[chosen],
            is_mirrored[chosen],
            agreement[chosen],
            is_exact[chosen],
        )

    def with_agreement(self, agreement: npt.NDArray[np.float32]) -> Self:
        """Give the same pairs with what was measured of them."""
        return replace(self, agreement=agreement)

    def as_exact(self) -> Self:
        """Give the same pairs as pairs of images with the same pixels."""
        count = len(self)
        return replace(self, agreement=np.ones(count, np.float32), is_exact=np.ones(count, bool))

    def mirrored(self) -> Self:
        """Give the same pairs with every second image mirrored, unmeasured."""
        return type(self).of(self.first, self.second, is_mirrored=True)

    def take(self, chosen: npt.NDArray[Any]) -> Self:
        """Give the pairs at some places, or where a mask is true."""
        return type(self)(
            self.first[chosen],
            self.second[chosen],
            self.is_mirrored[chosen],
            self.agreement[chosen],
            self.is_exact[chosen],
        )

    def without(self, other: Self) -> Self:
        """Give the pairs that are not in `other`."""
        return self.take(~np.isin(self._keys(), other._keys()))

    def without_images_of(self, other: Self) -> Self:
        """Give the pairs of two images that `other` does not pair, mirrored or not."""
        key = 2**30 * self.first + self.second
        return self.take(~np.isin(key, 2**30 * other.first + other.second))

    def best_of_each(self) -> Self:
        """Keep of two images one pair, plain or mirrored, whichever agrees more."""
        order = np.lexsort(
            (self.is_mirrored, ~self.is_exact, -self.agreement, self.second, self.first)
        )
        ordered = self.take(order)
        is_new = np.ones(len(order), bool)
        is_new[1:] = (ordered.first[1:] != ordered.first[:-1]) | (
            ordered.second[1:] != ordered.second[:-1]
        )
        return ordered.take(is_new)

    def _keys(self) -> Indices:
        largest = 2**30  # images; two of them and a bit fit 63 bits
        assert len(self) == 0 or self.second.max() < largest
        keys: Indices = (self.first * largest + self.second) * 2 + self.is_mirrored
        return keys
