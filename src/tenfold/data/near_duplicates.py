"""Near-duplicates: proposed by descriptors, verified on pixels, joined to groups.

Two searches propose: among the low cosine waves of the pixels, and among the features of a trained
network, which still find a pair whose crop or colours differ. Look-alikes of different objects are
neighbours too, so each proposed pair is laid over each other and its edges are compared
(`tenfold.data.pixel_agreement`), which neither search has looked at. How far those of different
shots agree is another in each data set (T-shirts on a floor agree better than ships on the sea), so
it is measured, on neighbours that are not the nearest, and a pair has to stand out from them.

The audit looks for all near-duplicates so. Before there is a network, a quick look at the pixels
says which training images must stay together in splits and folds: copies, whatever their labels,
and near-duplicates of one class, which would make a validation optimistic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from tenfold.core.progress import Progress
from tenfold.data.dataset import Groups, Labels
from tenfold.data.descriptors import FeatureRows, Vectors, feature_descriptors, pixel_descriptors
from tenfold.data.image_pairs import ImagePairs
from tenfold.data.neighbour_cells import nearest_of_many
from tenfold.data.pixel_agreement import (
    Detail,
    Thumbnails,
    joined_thumbnails,
    make_thumbnails,
    pixel_agreement,
)
from tenfold.data.splits import exact_groups, groups_of_pairs, joined_groups, representatives
from tenfold.data.store import AnyImages

LEAST_AGREEMENT = 0.8
"""Agreement below which no pair counts as a near-duplicate: of pairs of CIFAR-10 judged by eye, 19
in 20 above it showed the same shot; docs/experiments.md."""

SMALLEST_SIDE_PX = 24
"""Smaller images hold too little to tell a shot from its like: the threshold was found on images of
32 pixels. Of these only copies are found."""

_NEIGHBOURS = 2
# docs/experiments.md has what these three leave out and what they save.
_LEAST_PIXEL_SIMILARITY = 0.68
_LEAST_FEATURE_SIMILARITY = 0.6
_LEAST_PIXEL_SIMILARITY_OF_FEATURE_PAIRS = 0.1
_LEAST_QUICK_SIMILARITY = 0.7  # docs/experiments.md has what 0.8 would save and miss
# Those that are not the nearest are hardly ever the same shot, and look alike all the same.
_OTHER_NEIGHBOURS = slice(2, 5)
_MEASURED_IMAGES = 75  # whose other neighbours show how far different shots agree
_SAME_SPREADS = 4  # above their median: fewer than 1 in 30,000 of them, were they normal
_ALIKE_SPREADS = 2.5
_LEAST_ALIKE = 0.5
_FEWEST_MEASURED = 30  # pairs
_LARGEST_LEAST_AGREEMENT = 0.98  # where all look the same, only what is all but equal is
_COMPARED_PAIRS = 65_536  # whose descriptors are laid beside each other at one time
_LARGEST_COMPLETED = 128  # images; of larger groups not every pair is compared
_LARGEST_SHARE = 0.1  # of a class that one group may hold
_ALWAYS_BELIEVED = 10  # images, however small the class


@dataclass(frozen=True)
class NetworkFeatures:
    """What a trained network makes of the images.

    Parameters
    ----------
    plain
        Shape (N, features); more than fit into the memory lie in a file.
    last_mirrored
        Shape (M, features): of the mirror images of the last M images (the test split),
        so that a mirrored leak is found even if the network sees a mirror image otherwise. None
        where a mirrored image is another thing, as digits are: then no mirrored pairs are sought.
    """

    plain: FeatureRows
    last_mirrored: FeatureRows | None


@dataclass(frozen=True)
class NearDuplicates:
    """What was found.

    Parameters
    ----------
    same
        Pairs that show the same shot.
    alike
        Pairs that agree better than others that look alike, but not so far that they are the same
        shot; the best of each image.
    least_agreement
        From which on a pair was the same.
    compared
        Pairs that were compared.
    """

    same: ImagePairs
    alike: ImagePairs
    least_agreement: float
    compared: int

    @classmethod
    def copies(cls, exact: Groups, least_agreement: float) -> NearDuplicates:
        """Give images with the same pixels, nothing else having been looked for."""
        pairs = equal_pairs(exact)
        return cls(pairs, pairs.take(np.zeros(len(pairs), bool)), least_agreement, 0)


def find_near_duplicates(
    images: tuple[AnyImages, ...],
    features: NetworkFeatures,
    exact: Groups,
    labels: Labels,
    *,
    least_agreement: float,
    progress: Progress,
) -> NearDuplicates:
    """Give all pairs that were found.

    Time is N² × about 300 multiplications up to 65,536 images, and grows with N beyond (see
    `tenfold.data.neighbour_cells`); memory is N × a few kB, and no N × N matrix is ever there.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C): in one or several parts, numbered on.
    features
        Of all N images.
    exact
        Groups of images with the same pixels; of these, only the first is compared with others.
    labels
        int64, shape (N,). Two images with different labels must agree better, half-way from
        what else is asked to 1: a person has looked at both and seen different things.
    least_agreement
        From which on a pair counts at least; where different images of this data set agree well,
        more is asked.
    progress
        Who is told.
    """
    compared = _Compared(joined_thumbnails(*map(make_thumbnails, images)), Detail(images), progress)
    candidates, descriptors = _candidates(compared.thumbnails, features, progress)
    is_first = representatives(exact)
    candidates = candidates.take(is_first[candidates.first] & is_first[candidates.second])
    usual = compared.usual(descriptors, is_first)
    least = usual.least_agreement(least_agreement)

    def asked(pairs: ImagePairs) -> npt.NDArray[np.float64]:
        is_other = labels[pairs.first] != labels[pairs.second]
        return np.where(is_other, (1 + least) / 2, least)

    candidates = compared.measured(candidates, "Comparing pixels")
    is_same = candidates.agreement >= asked(candidates)
    found = candidates.take(is_same)
    has_mirror = features.last_mirrored is not None
    missing = _within_groups(found, len(labels), has_mirror=has_mirror).without(candidates)
    completed = compared.measured(missing, "Completing groups")
    completed = completed.take(completed.agreement >= asked(completed))
    same = ImagePairs.joined(found, completed, equal_pairs(exact)).best_of_each()
    doubtful = candidates.take(~is_same & (candidates.agreement >= usual.least_alike(least)))
    alike = doubtful.without_images_of(same).best_of_each()
    return NearDuplicates(same, alike, least, len(candidates) + len(missing))


@dataclass(frozen=True)
class _Usual:
    """How far neighbours agree that are hardly ever the same shot, on Fisher's scale (artanh).

    There correlations of chance are about normal.
    """

    median: float
    spread: float

    @classmethod
    def of(cls, agreement: npt.NDArray[np.float32]) -> _Usual:
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
class _Compared:
    """All images, ready to be compared pair by pair."""

    thumbnails: Thumbnails
    detail: Detail
    progress: Progress

    def measured(self, pairs: ImagePairs, title: str) -> ImagePairs:
        """Give the same pairs with their agreement."""
        with self.progress.task(title, len(pairs), unit="pairs") as task:
            agreement = pixel_agreement(self.thumbnails, pairs, self.detail, on_pairs=task.advance)
        return pairs.with_agreement(agreement)

    def usual(self, descriptors: list[Vectors], is_first: npt.NDArray[np.bool_]) -> _Usual:
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
        return _Usual.of(pixel_agreement(self.thumbnails, pairs, self.detail, gives_up=False))


def equal_pairs(exact: Groups) -> ImagePairs:
    """Give the pairs of images with the same pixels, with agreement 1.

    Of a group of more than 128 images, each is paired with the first alone.
    """
    return _pairs_within(exact, is_mirrored=False).as_exact()


def _candidates(
    thumbnails: Thumbnails, features: NetworkFeatures, progress: Progress
) -> tuple[ImagePairs, list[Vectors]]:
    """Give proposed pairs, and the descriptors that proposed them."""
    plain, mirrored = pixel_descriptors(thumbnails)
    flips = [] if features.last_mirrored is None else [features.last_mirrored]
    learned, *flipped = feature_descriptors(features.plain, *flips)
    total, has_mirror = len(thumbnails), features.last_mirrored is not None
    last = 0 if features.last_mirrored is None else len(features.last_mirrored)
    work = 2 * total + (total + last if has_mirror else 0)
    with progress.task("Nearest neighbours", work, unit="images") as task:
        search = partial(_neighbours, on_rows=task.advance)
        by_pixels = [search(plain, plain, _LEAST_PIXEL_SIMILARITY)]
        by_features = [search(learned, learned, _LEAST_FEATURE_SIMILARITY)]
        if flipped:
            by_pixels.append(search(plain, mirrored, _LEAST_PIXEL_SIMILARITY, is_mirrored=True))
            by_features += [
                by_features[0].mirrored(),
                search(flipped[0], learned, _LEAST_FEATURE_SIMILARITY, is_mirrored=True),
            ]
    of_features = ImagePairs.joined(*by_features)
    similarity = _similarity(of_features, plain, mirrored)
    kept = of_features.take(similarity >= _LEAST_PIXEL_SIMILARITY_OF_FEATURE_PAIRS)
    return ImagePairs.joined(*by_pixels, kept), [plain, learned]


def _neighbours(
    queries: Vectors,
    references: Vectors,
    least: float,
    *,
    is_mirrored: bool = False,
    on_rows: Callable[[int], None] | None = None,
) -> ImagePairs:
    """Pair images with their neighbours of at least some similarity; the queries are the last."""
    start = len(references) - len(queries)
    indices, similarities = nearest_of_many(
        queries, references, _NEIGHBOURS, start=start, on_rows=on_rows
    )
    rows, places = np.nonzero(similarities >= least)
    return ImagePairs.of(start + rows, indices[rows, places], is_mirrored=is_mirrored)


def _similarity(pairs: ImagePairs, plain: Vectors, mirrored: Vectors) -> Vectors:
    result = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _COMPARED_PAIRS):
        block = slice(start, start + _COMPARED_PAIRS)
        first, second = pairs.first[block], pairs.second[block]
        other = np.where(pairs.is_mirrored[block, None], mirrored[second], plain[second])
        result[block] = np.einsum("pd,pd->p", plain[first], other)
    return result


def _within_groups(pairs: ImagePairs, count: int, *, has_mirror: bool) -> ImagePairs:
    """Give all pairs of the images that are joined over others."""
    groups = groups_of_pairs(count, pairs.first, pairs.second)
    plain = _pairs_within(groups, is_mirrored=False)
    if not has_mirror:
        return plain
    return ImagePairs.joined(plain, _pairs_within(groups, is_mirrored=True))


def _pairs_within(groups: Groups, *, is_mirrored: bool) -> ImagePairs:
    numbers, sizes = np.unique(groups, return_counts=True)
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], numbers)
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        members = order[start : start + size]
        if size <= _LARGEST_COMPLETED:
            one, other = np.triu_indices(size, 1)
            first.append(members[one])
            second.append(members[other])
        else:
            first.append(np.full(size - 1, members[0]))
            second.append(members[1:])
    return ImagePairs.of(np.concatenate(first), np.concatenate(second), is_mirrored=is_mirrored)


def pixel_groups(images: AnyImages, labels: Labels, progress: Progress) -> Groups:
    """Give the groups of near-duplicates, see `tenfold.data.splits`.

    Time is N² / classes up to classes of 65,536 images, and grows with N beyond; 50,000 images of
    ten classes take seconds.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    labels
        int64, shape (N,).
    progress
        Who is told.
    """
    exact = exact_groups(images)
    if min(images.shape[1:3]) < SMALLEST_SIDE_PX:
        return exact
    compared = _Compared(make_thumbnails(images), Detail((images,)), progress)
    plain, _ = pixel_descriptors(compared.thumbnails)
    with progress.task("Looking for duplicates", len(images), unit="images") as task:
        parts = []
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            found = _neighbours(plain[members], plain[members], _LEAST_QUICK_SIMILARITY)
            parts.append(
                ImagePairs.of(members[found.first], members[found.second], is_mirrored=False)
            )
            task.advance(len(members))
    pairs = ImagePairs.joined(*parts)
    pairs = pairs.take(exact[pairs.first] != exact[pairs.second])
    least = compared.usual([plain], representatives(exact)).least_agreement(LEAST_AGREEMENT)
    pairs = compared.measured(pairs, "Comparing pixels")
    found = pairs.take(pairs.agreement >= least)
    near = groups_of_pairs(len(images), found.first, found.second)
    return joined_groups(exact, _believable(near, labels))


def _believable(groups: Groups, labels: Labels) -> Groups:
    """Take groups apart that hold a large part of a class.

    Where all images of a class look alike (strokes, textures, frames of one film), pair hangs on
    pair, and a fold could not be cut. Such a class the audit shows.
    """
    sizes = np.bincount(groups, minlength=len(groups))[groups]
    largest = np.maximum(_LARGEST_SHARE * np.bincount(labels)[labels], _ALWAYS_BELIEVED)
    result: Groups = np.where(sizes > largest[groups], np.arange(len(groups)), groups)
    return result
