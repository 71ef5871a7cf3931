"""Pairs of images compared one after the other, as many as what it may cost allows.

What a look costs is counted, not timed (docs/decisions/033): the same images give the same pairs on
every machine and after every kill.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tenfold.core.progress import Progress
from tenfold.data.dataset import Groups
from tenfold.data.descriptors import Vectors
from tenfold.data.image_pairs import ImagePairs
from tenfold.data.pixel_agreement import Detail, Thumbnails, pixel_agreement
from tenfold.data.splits import groups_of_pairs, joined_groups

LARGEST_COMPLETED = 128
"""Images; of larger groups not every pair is compared."""

_COMPARED_AT_ONCE = 2048  # pairs, before what is left is looked at again
# Those that are not the nearest are hardly ever the same shot, and look alike all the same.
_OTHER_NEIGHBOURS = slice(2, 5)
_MEASURED_IMAGES = 75  # whose other neighbours show how far different shots agree
_SAME_SPREADS = 4  # above their median: fewer than 1 in 30,000 of them, were they normal
_ALIKE_SPREADS = 2.5
_LEAST_ALIKE = 0.5
_FEWEST_MEASURED = 30  # pairs
_LARGEST_LEAST_AGREEMENT = 0.98  # where all look the same, only what is all but equal is


@dataclass
class Looks:
    """How many pairs of thumbnails may be compared, or fewer pairs more closely.

    Parameters
    ----------
    most
        See `tenfold.data.pixel_agreement.LOOKS`; None for no bound.
    spent
        Of these.
    compared
        Pairs that were compared.
    left_out
        Pairs that were not, as all was spent.
    """

    most: int | None = None
    spent: int = field(default=0, init=False)
    compared: int = field(default=0, init=False)
    left_out: int = field(default=0, init=False)

    @property
    def is_spent(self) -> bool:
        """Say whether nothing more may be compared."""
        return self.most is not None and self.spent >= self.most

    def spend(self, looks: int) -> None:
        """Count what was compared."""
        self.spent += looks


@dataclass(frozen=True)
class Usual:
    """How far neighbours agree that are hardly ever the same shot, on Fisher's scale (artanh).

    There correlations of chance are about normal.
    """

    median: float
    spread: float

    @classmethod
    def of(cls, agreement: npt.NDArray[np.float32]) -> Usual:
        """Measure it on pairs."""
        if len(agreement) < _FEWEST_MEASURED:
            return cls(0.0, 0.0)
        # The upper side alone: what is on the lower side says nothing about the best of them.
        middle, upper = np.arctanh(np.quantile(agreement, [0.5, 0.84]).clip(0, 0.9999))
        return cls(float(middle), float(upper - middle))

    def least_agreement(self, least: float) -> float:
        """Give what the same shot has to reach: `least`, or more."""
        outstanding = float(np.tanh(self.median + _SAME_SPREADS * self.spread))
        return max(least, min(outstanding, _LARGEST_LEAST_AGREEMENT))

    def least_alike(self, same: float) -> float:
        """Give what is worth to be shown as alike."""
        outstanding = float(np.tanh(self.median + _ALIKE_SPREADS * self.spread))
        return min(same, max(_LEAST_ALIKE, outstanding))


@dataclass(frozen=True)
class ComparedImages:
    """All images, ready to be compared pair by pair."""

    thumbnails: Thumbnails
    detail: Detail
    progress: Progress

    def measured(
        self,
        pairs: ImagePairs,
        title: str,
        *,
        looks: Looks,
        asked: Callable[[ImagePairs], npt.NDArray[np.float64]] | None = None,
    ) -> ImagePairs:
        """Give pairs with their agreement, from the first on until all looks are spent.

        Parameters
        ----------
        pairs
            In this order.
        title
            Of the progress bar.
        looks
            What is left; spent from, and told what was compared and left out.
        asked
            Gives the agreement from which on pairs are the same; with it, two images that others
            join in a group too large to be completed are not compared any more.
        """
        groups: Groups = np.arange(len(self.thumbnails))
        parts = [pairs.take(np.zeros(len(pairs), bool))]
        with self.progress.task(title, len(pairs), unit="pairs") as task:
            for start in range(0, len(pairs), _COMPARED_AT_ONCE):
                if looks.is_spent:
                    looks.left_out += len(pairs) - start
                    break
                # Ordered by image: the pictures of one are read once for its pairs.
                rows = np.arange(start, min(start + _COMPARED_AT_ONCE, len(pairs)))
                some = pairs.take(rows[np.lexsort((pairs.second[rows], pairs.first[rows]))])
                if asked is not None:
                    some = some.take(~_is_in_large_group(some, groups))
                agreement = pixel_agreement(
                    self.thumbnails, some, self.detail, on_looks=looks.spend
                )
                parts.append(some.with_agreement(agreement))
                looks.compared += len(some)
                task.advance(len(rows))
                if asked is not None:
                    same = parts[-1].take(parts[-1].agreement >= asked(some))
                    joined = groups_of_pairs(len(groups), same.first, same.second)
                    groups = joined_groups(groups, joined)
        return ImagePairs.joined(*parts)

    def usual(self, descriptors: list[Vectors], is_first: npt.NDArray[np.bool_]) -> Usual:
        """Measure how far neighbours agree that are not the nearest."""
        singles = np.flatnonzero(is_first)
        rng = np.random.default_rng(0)
        drawn = np.sort(rng.choice(singles, min(_MEASURED_IMAGES, len(singles)), replace=False))
        parts = []
        for vectors in descriptors:
            similarity = vectors[drawn] @ vectors[singles].T
            similarity[np.arange(len(drawn)), np.searchsorted(singles, drawn)] = -np.inf
            nearest_first = np.argsort(-similarity, axis=1, kind="stable")[:, _OTHER_NEIGHBOURS]
            others = singles[nearest_first]
            parts.append(
                ImagePairs.of(np.repeat(drawn, others.shape[1]), others.ravel(), is_mirrored=False)
            )
        pairs = ImagePairs.joined(*parts)
        return Usual.of(pixel_agreement(self.thumbnails, pairs, self.detail, gives_up=False))


def nearest_of_each_first(pairs: ImagePairs, nearness: Vectors) -> ImagePairs:
    """Give pairs in the order to compare them in: first those that are the nearest of an image.

    Then those that are some image's second nearest, and so on; of equal rank the nearer one first.
    """
    order = np.argsort(-nearness, kind="stable")
    images = np.stack([pairs.first[order], pairs.second[order]], axis=1).ravel()
    by_image = np.argsort(images, kind="stable")
    ordered = images[by_image]
    rank = np.empty(len(images), np.int64)
    rank[by_image] = np.arange(len(images)) - np.searchsorted(ordered, ordered)
    return pairs.take(order[np.argsort(rank.reshape(-1, 2).min(axis=1), kind="stable")])


def _is_in_large_group(pairs: ImagePairs, groups: Groups) -> npt.NDArray[np.bool_]:
    sizes = np.bincount(groups, minlength=len(groups))
    own = groups[pairs.first]
    result: npt.NDArray[np.bool_] = (own == groups[pairs.second]) & (sizes[own] > LARGEST_COMPLETED)
    return result
