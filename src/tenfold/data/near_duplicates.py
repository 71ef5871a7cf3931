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
from tenfold.data.pair_comparison import (
    LARGEST_COMPLETED,
    ComparedImages,
    Looks,
    nearest_of_each_first,
)
from tenfold.data.pixel_agreement import Detail, Thumbnails, joined_thumbnails, make_thumbnails
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
_COMPARED_PAIRS = 65_536  # whose descriptors are laid beside each other at one time
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
    left_out
        Further pairs that would have been, had there been no bound.
    """

    same: ImagePairs
    alike: ImagePairs
    least_agreement: float
    compared: int
    left_out: int = 0

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
    most_looks: int | None = None,
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
    most_looks
        How many pairs of thumbnails may be compared, or fewer pairs more closely (see
        `tenfold.data.pixel_agreement.LOOKS`): each image's nearest proposal first, then those
        within groups, small groups first. None for no bound.
    """
    compared = ComparedImages(
        joined_thumbnails(*map(make_thumbnails, images)), Detail(images), progress
    )
    looks = Looks(most_looks)
    candidates, nearness, descriptors = _candidates(compared.thumbnails, features, progress)
    is_single = representatives(exact)
    is_single_pair = is_single[candidates.first] & is_single[candidates.second]
    candidates, nearness = candidates.take(is_single_pair), nearness[is_single_pair]
    usual = compared.usual(descriptors, is_single)
    least = usual.least_agreement(least_agreement)

    def asked(pairs: ImagePairs) -> npt.NDArray[np.float64]:
        is_other = labels[pairs.first] != labels[pairs.second]
        return np.where(is_other, (1 + least) / 2, least)

    proposed = nearest_of_each_first(candidates, nearness)
    candidates = compared.measured(proposed, "Comparing pixels", looks=looks, asked=asked)
    is_same = candidates.agreement >= asked(candidates)
    found = candidates.take(is_same)
    missing = _within_groups(found, len(labels)).without(candidates)
    completed = compared.measured(missing, "Completing groups", looks=looks)
    completed = completed.take(completed.agreement >= asked(completed))
    same = ImagePairs.joined(found, completed, equal_pairs(exact)).best_of_each()
    doubtful = candidates.take(~is_same & (candidates.agreement >= usual.least_alike(least)))
    alike = doubtful.without_images_of(same).best_of_each()
    return NearDuplicates(same, alike, least, looks.compared, looks.left_out)


def equal_pairs(exact: Groups) -> ImagePairs:
    """Give the pairs of images with the same pixels, with agreement 1.

    Of a group of more than 128 images, each is paired with the first alone.
    """
    return _pairs_within(exact, is_mirrored=False).as_exact()


def _candidates(
    thumbnails: Thumbnails, features: NetworkFeatures, progress: Progress
) -> tuple[ImagePairs, Vectors, list[Vectors]]:
    """Give proposed pairs, how near they are, and the descriptors that proposed them."""
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
    pairs = ImagePairs.joined(*by_pixels, kept)
    # Of the two together the same come sooner than of either: docs/experiments.md.
    nearness = _similarity(pairs, plain, mirrored) + _similarity(pairs, learned, learned)
    return pairs, nearness, [plain, learned]


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


def _within_groups(pairs: ImagePairs, count: int) -> ImagePairs:
    """Give all pairs of the images that are joined over others, those of small groups first.

    Mirrored, too, where a group has a mirrored pair.
    """
    groups = groups_of_pairs(count, pairs.first, pairs.second)
    has_mirrored = np.zeros(count, bool)
    has_mirrored[groups[pairs.first[pairs.is_mirrored]]] = True
    mirrored = _pairs_within(groups, is_mirrored=True)
    mirrored = mirrored.take(has_mirrored[groups[mirrored.first]])
    within = ImagePairs.joined(_pairs_within(groups, is_mirrored=False), mirrored)
    sizes = np.bincount(groups, minlength=count)
    return within.take(np.argsort(sizes[groups[within.first]], kind="stable"))


def _pairs_within(groups: Groups, *, is_mirrored: bool) -> ImagePairs:
    numbers, sizes = np.unique(groups, return_counts=True)
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], numbers)
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        members = order[start : start + size]
        if size <= LARGEST_COMPLETED:
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
    compared = ComparedImages(make_thumbnails(images), Detail((images,)), progress)
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
    pairs = compared.measured(pairs, "Comparing pixels", looks=Looks())
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
