"""Near-duplicates: proposed by descriptors, verified on pixels, joined to groups.

Two searches propose: among the low cosine waves of the pixels, and among the features of a trained
network, which still find a pair whose crop or colours differ. Look-alikes of different objects are
neighbours too, so each proposed pair is laid over each other and its edges are compared
(`tenfold.data.pixel_agreement`), which neither search has looked at.

Which training images must stay together in splits and folds: a quick look at the pixels.
It comes before there is a network, and looks only for what makes a validation optimistic: copies,
whatever their labels, and near-duplicates of one class. The audit looks for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tenfold.core.progress import Progress
from tenfold.data.dataset import Groups, Images, Indices, Labels
from tenfold.data.pixel_agreement import (
    SIDE_PX,
    ImagePairs,
    Thumbnails,
    make_thumbnails,
    pixel_agreement,
)
from tenfold.data.splits import exact_groups, groups_of_pairs, joined_groups

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
_LARGEST_COMPLETED = 128  # images; of larger groups not every pair is compared


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
    first_of = exact == np.arange(len(exact))
    candidates = candidates.take(first_of[candidates.first] & first_of[candidates.second])

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

        def search(
            queries: Vectors, references: Vectors, least: float, *, is_mirrored: bool
        ) -> ImagePairs:
            start = total - len(queries)
            indices, similarities = nearest(
                queries, references, _NEIGHBOURS, start=start, on_rows=task.advance
            )
            rows, places = np.nonzero(similarities >= least)
            return ImagePairs.of(start + rows, indices[rows, places], is_mirrored=is_mirrored)

        by_pixels = [search(plain, plain, _LEAST_PIXEL_SIMILARITY, is_mirrored=False)]
        by_features = [search(learned, learned, _LEAST_FEATURE_SIMILARITY, is_mirrored=False)]
        if features.last_mirrored is not None:
            by_pixels.append(search(plain, mirrored, _LEAST_PIXEL_SIMILARITY, is_mirrored=True))
            flipped = feature_descriptors(features.last_mirrored, features.plain)
            by_features.append(by_features[0].mirrored())
            by_features.append(
                search(flipped, learned, _LEAST_FEATURE_SIMILARITY, is_mirrored=True)
            )
    of_features = ImagePairs.joined(*by_features)
    similarity = _similarity(of_features, plain, mirrored)
    return ImagePairs.joined(
        *by_pixels, of_features.take(similarity >= _LEAST_PIXEL_SIMILARITY_OF_FEATURE_PAIRS)
    )


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


_LARGEST_SHARE = 0.1
_ALWAYS_BELIEVED = 10


_LEAST_SIMILARITY = 0.7  # docs/experiments.md has what 0.8 would save and miss


def pixel_groups(images: Images, labels: Labels, progress: Progress) -> Groups:
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
            parts.append(_similar_pairs(plain[members], members))
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


def _similar_pairs(vectors: Vectors, members: Indices) -> ImagePairs:
    indices, similarities = nearest(vectors, vectors, _NEIGHBOURS)
    rows, places = np.nonzero(similarities >= _LEAST_SIMILARITY)
    return ImagePairs.of(members[rows], members[indices[rows, places]], is_mirrored=False)


Vectors = npt.NDArray[np.float32]
"""Shape (N, dimensions), each row of length 1, or all zero where an image is constant."""

_LUMINANCE_WAVES = 8
_CHROMINANCE_WAVES = 4
# Between 0 (the smoothest waves decide alone: all skies are alike) and 1 (fine detail, which a
# shift by a pixel upsets, counts as much). Of 0.3 and 0.6, 0.6 found more; docs/experiments.md.
_PIXEL_WHITENING = 0.6
# 0.5 found more of the pairs that the pixels had found than 0 and as many as 1.
_FEATURE_WHITENING = 0.5
_FEATURE_DIMENSIONS = 128
_BLOCK = 4000


def pixel_descriptors(thumbnails: Thumbnails) -> tuple[Vectors, Vectors]:
    """Give descriptors of the images and of their mirror images.

    They are the low cosine waves of the thumbnail, without the constant one: brightness and tint
    do not count, and contrast is divided out by the length. Mirroring an image only turns the sign
    of the waves that are odd from left to right.
    """
    luminance = _waves(thumbnails.luminance[:, None], _LUMINANCE_WAVES)
    chrominance = _waves(thumbnails.chrominance, _CHROMINANCE_WAVES)
    waves = np.concatenate([luminance, 2 * chrominance], axis=1)  # stored halved
    spread = waves.std(axis=0)
    waves /= np.where(spread > 0, spread, 1) ** _PIXEL_WHITENING
    signs = np.concatenate(
        [
            _mirror_signs(_LUMINANCE_WAVES),
            _mirror_signs(_CHROMINANCE_WAVES),
            _mirror_signs(_CHROMINANCE_WAVES),
        ]
    )
    vectors = _unit(waves)
    return vectors, vectors * signs


def feature_descriptors(
    features: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]
) -> Vectors:
    """Give a network's features, centred, half whitened along at most 128 principal axes.

    Parameters
    ----------
    features
        float32, shape (N, any).
    reference
        Whose mean and axes are taken: the features of the images as they are.
    """
    mean = reference.mean(axis=0)
    centred = reference - mean
    covariance = centred.T.astype(np.float64) @ centred / max(len(centred), 1)
    values, axes = np.linalg.eigh(covariance)
    chosen = slice(-_FEATURE_DIMENSIONS, None)
    # An axis without spread holds rounding errors; do not blow them up.
    scale = np.maximum(values[chosen], max(values[-1], 1e-12) * 1e-3) ** (-_FEATURE_WHITENING / 2)
    return _unit((features - mean) @ (axes[:, chosen] * scale).astype(np.float32))


def _waves(planes: npt.NDArray[np.uint8], count: int) -> Vectors:
    """Give the lowest `count` × `count` cosine waves of each plane, the constant left out."""
    side = planes.shape[2]
    place = (np.arange(side) + 0.5) * np.pi / side
    basis = np.cos(np.arange(count)[:, None] * place[None]).astype(np.float32)
    basis *= SIDE_PX / side / 255  # waves of planes of all sizes on one scale
    parts = []
    for start in range(0, len(planes), _BLOCK):
        block = planes[start : start + _BLOCK].astype(np.float32)
        waves = basis @ block @ basis.T  # (B, planes, count, count)
        parts.append(waves.reshape(*waves.shape[:2], -1)[:, :, 1:].reshape(len(block), -1))
    return np.concatenate(parts)


def _mirror_signs(count: int) -> npt.NDArray[np.float32]:
    horizontal = np.tile(np.arange(count), count)[1:]
    return np.where(horizontal % 2 == 1, -1, 1).astype(np.float32)


def _unit(vectors: npt.NDArray[np.float32]) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 1e-6, length, np.inf)).astype(np.float32)


_ROWS = 512
_COLUMNS = 8192  # a block of 512 × 8192 float32 similarities is 16 MiB: it stays in a large cache
_GROUP = 16


@torch.inference_mode()
def nearest(
    queries: npt.NDArray[np.float32],
    references: npt.NDArray[np.float32],
    count: int,
    *,
    start: int = 0,
    on_rows: Callable[[int], None] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Give each query's most similar references by scalar product, its own row left out.

    Exact: the largest similarity of each group of 16 references is kept, and the `count` groups
    with the largest ones hold the `count` best references. Time is N² × dimensions; memory grows
    with N × N / 16 of one block of rows alone.

    Parameters
    ----------
    queries, references
        float32, shapes (M, dimensions) and (N, dimensions).
    count
        Neighbours of each; fewer where there are not so many images.
    start
        Query i is about the same image as reference start + i.
    on_rows
        Told the number of rows of each block that is done.

    Returns
    -------
    indices
        int64, shape (M, count), the most similar first.
    similarities
        float32, of the same shape.
    """
    assert start + len(queries) <= len(references)
    total = len(references)
    count = min(count, max(total - 1, 0))
    padding = -total % _GROUP
    padded = torch.from_numpy(np.pad(references, ((0, padding), (0, 0))))
    transposed = padded.T.contiguous()
    indices = np.empty((len(queries), count), np.int64)
    similarities = np.empty((len(queries), count), np.float32)
    for first in range(0, len(queries), _ROWS):
        rows = torch.from_numpy(np.ascontiguousarray(queries[first : first + _ROWS]))
        own = start + torch.arange(first, first + len(rows))
        best = _largest_of_groups(rows, transposed, own, total)
        groups = best.topk(min(count, best.shape[1]), dim=1).indices
        members = (groups[:, :, None] * _GROUP + torch.arange(_GROUP)).flatten(1)  # (B, count × 16)
        exact = torch.einsum("bd,bmd->bm", rows, padded[members])
        exact[(members == own[:, None]) | (members >= total)] = -torch.inf
        values, places = exact.topk(count, dim=1)
        indices[first : first + _ROWS] = members.gather(1, places).numpy()
        similarities[first : first + _ROWS] = values.numpy()
        if on_rows is not None:
            on_rows(len(rows))
    return indices, similarities


def _largest_of_groups(rows: Tensor, transposed: Tensor, own: Tensor, total: int) -> Tensor:
    """Give the largest similarity in each group of references, shape (B, N / 16)."""
    parts = []
    for first in range(0, transposed.shape[1], _COLUMNS):
        similarities = rows @ transposed[:, first : first + _COLUMNS]
        place = own - first
        inside = (place >= 0) & (place < similarities.shape[1])
        similarities[inside.nonzero()[:, 0], place[inside]] = -torch.inf
        similarities[:, max(total - first, 0) :] = -torch.inf  # the padding
        parts.append(similarities.view(len(rows), -1, _GROUP).amax(2))
    return torch.cat(parts, dim=1)
