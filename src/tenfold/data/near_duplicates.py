"""Near-duplicates: proposed by descriptors, verified on pixels, joined to groups.

Two searches propose: among the low cosine waves of the pixels, and among the features of a trained
network, which still find a pair whose crop or colours differ. Look-alikes of different objects are
neighbours too, so each proposed pair is laid over each other and its edges are compared
(`tenfold.data.pixel_agreement`), which neither search has looked at.

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
from tenfold.data.descriptors import Vectors, feature_descriptors, nearest, pixel_descriptors
from tenfold.data.pixel_agreement import ImagePairs, Thumbnails, make_thumbnails, pixel_agreement
from tenfold.data.splits import exact_groups, groups_of_pairs, joined_groups, representatives
from tenfold.data.store import AnyImages

LEAST_AGREEMENT = 0.8
"""Agreement from which on a pair counts as a near-duplicate: of pairs judged by eye before, 19 in
20 above it showed the same shot, and 17 in 20 of those that did lay above; docs/experiments.md."""

SMALLEST_SIDE_PX = 24
"""Smaller images hold too little to tell a shot from its like: the threshold was found on images of
32 pixels. Of these only copies are found."""

_NEIGHBOURS = 2
# docs/experiments.md has what these three leave out and what they save.
_LEAST_PIXEL_SIMILARITY = 0.68
_LEAST_FEATURE_SIMILARITY = 0.6
_LEAST_PIXEL_SIMILARITY_OF_FEATURE_PAIRS = 0.1
_LEAST_QUICK_SIMILARITY = 0.7  # docs/experiments.md has what 0.8 would save and miss
_LARGEST_COMPLETED = 128  # images; of larger groups not every pair is compared
_LARGEST_SHARE = 0.1  # of a class that one group may hold
_ALWAYS_BELIEVED = 10  # images, however small the class


@dataclass(frozen=True)
class NetworkFeatures:
    """What a trained network makes of the images.

    Parameters
    ----------
    plain
        float32, shape (N, features).
    last_mirrored
        float32, shape (M, features): of the mirror images of the last M images (the test split),
        so that a mirrored leak is found even if the network sees a mirror image otherwise. None
        where a mirrored image is another thing, as digits are: then no mirrored pairs are sought.
    """

    plain: npt.NDArray[np.float32]
    last_mirrored: npt.NDArray[np.float32] | None


def find_near_duplicates(
    thumbnails: Thumbnails,
    features: NetworkFeatures,
    exact: Groups,
    labels: Labels,
    *,
    least_agreement: float,
    progress: Progress,
) -> tuple[ImagePairs, int]:
    """Give all pairs that were found, and how many were compared.

    Time is N² × about 300 multiplications, memory N × a few kB; no N × N matrix is ever there.

    Parameters
    ----------
    thumbnails
        Of all N images.
    features
        Of all N images.
    exact
        Groups of images with the same pixels; of these, only the first is compared with others.
    labels
        int64, shape (N,). Two images with different labels must agree better, half-way from
        `least_agreement` to 1: a person has looked at both and seen different things.
    least_agreement
        From which on a pair counts.
    progress
        Who is told.
    """
    candidates = _candidates(thumbnails, features, progress)
    is_first = representatives(exact)
    candidates = candidates.take(is_first[candidates.first] & is_first[candidates.second])

    def confirmed(pairs: ImagePairs, title: str) -> ImagePairs:
        with progress.task(title, len(pairs), unit="pairs") as task:
            agreement = pixel_agreement(thumbnails, pairs, on_pairs=task.advance)
        is_other = labels[pairs.first] != labels[pairs.second]
        least = np.where(is_other, (1 + least_agreement) / 2, least_agreement)
        return pairs.with_agreement(agreement).take(agreement >= least)

    found = confirmed(candidates, "Comparing pixels")
    has_mirror = features.last_mirrored is not None
    missing = _within_groups(found, len(thumbnails), has_mirror=has_mirror).without(candidates)
    completed = confirmed(missing, "Completing groups")
    joined = ImagePairs.joined(found, completed, equal_pairs(exact))
    return joined.best_of_each(), len(candidates) + len(missing)


def equal_pairs(exact: Groups) -> ImagePairs:
    """Give the pairs of images with the same pixels, with agreement 1.

    Of a group of more than 128 images, each is paired with the first alone.
    """
    return _pairs_within(exact, is_mirrored=False).as_exact()


def _candidates(
    thumbnails: Thumbnails, features: NetworkFeatures, progress: Progress
) -> ImagePairs:
    plain, mirrored = pixel_descriptors(thumbnails)
    learned = feature_descriptors(features.plain, features.plain)
    total, has_mirror = len(thumbnails), features.last_mirrored is not None
    last = 0 if features.last_mirrored is None else len(features.last_mirrored)
    work = 2 * total + (total + last if has_mirror else 0)
    with progress.task("Nearest neighbours", work, unit="images") as task:
        search = partial(_neighbours, on_rows=task.advance)
        by_pixels = [search(plain, plain, _LEAST_PIXEL_SIMILARITY)]
        by_features = [search(learned, learned, _LEAST_FEATURE_SIMILARITY)]
        if features.last_mirrored is not None:
            by_pixels.append(search(plain, mirrored, _LEAST_PIXEL_SIMILARITY, is_mirrored=True))
            flipped = feature_descriptors(features.last_mirrored, features.plain)
            by_features += [
                by_features[0].mirrored(),
                search(flipped, learned, _LEAST_FEATURE_SIMILARITY, is_mirrored=True),
            ]
    of_features = ImagePairs.joined(*by_features)
    similarity = _similarity(of_features, plain, mirrored)
    return ImagePairs.joined(
        *by_pixels, of_features.take(similarity >= _LEAST_PIXEL_SIMILARITY_OF_FEATURE_PAIRS)
    )


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
    indices, similarities = nearest(queries, references, _NEIGHBOURS, start=start, on_rows=on_rows)
    rows, places = np.nonzero(similarities >= least)
    return ImagePairs.of(start + rows, indices[rows, places], is_mirrored=is_mirrored)


def _similarity(pairs: ImagePairs, plain: Vectors, mirrored: Vectors) -> Vectors:
    other = np.where(pairs.is_mirrored[:, None], mirrored[pairs.second], plain[pairs.second])
    result: Vectors = np.einsum("pd,pd->p", plain[pairs.first], other)
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

    Time is N² / classes; 50,000 images of ten classes take seconds.

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
    thumbnails = make_thumbnails(images)
    plain, _ = pixel_descriptors(thumbnails)
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
    found = pairs.take(pixel_agreement(thumbnails, pairs) >= LEAST_AGREEMENT)
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
