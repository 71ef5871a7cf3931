"""Descriptors of images, of their pixels and of a network's features, and the nearest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tenfold.data.feature_rows import Features
from tenfold.data.pixel_agreement import SIDE_PX, Thumbnails

Vectors = npt.NDArray[np.float32]
"""Shape (N, dimensions), each row of length 1, or all zero where an image is constant."""

FeatureRows = npt.NDArray[np.float32] | Features
"""Shape (N, any)."""

_LUMINANCE_WAVES = 8
_CHROMINANCE_WAVES = 4
# Between 0 (the smoothest waves decide alone: all skies are alike) and 1 (fine detail, which a
# shift by a pixel upsets, counts as much). Of 0.3 and 0.6, 0.6 found more; docs/experiments.md.
_PIXEL_WHITENING = 0.6
# 0.5 found more of the pairs that the pixels had found than 0 and as many as 1.
_FEATURE_WHITENING = 0.5
_FEATURE_DIMENSIONS = 128
_PROJECTED = 512
_BLOCK = 4000  # Images that are worked on at one time.
_WHOLE_ROWS = 20_000  # of features that are worked on at once, as one sum
_ROWS = 512
_COLUMNS = 8192  # a block of 512 × 8192 float32 similarities is 16 MiB: it stays in a large cache
_GROUP = 16


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


def feature_descriptors(reference: FeatureRows, *others: FeatureRows) -> list[Vectors]:
    """Give a network's features, centred, half whitened along at most 128 principal axes.

    Parameters
    ----------
    reference
        Shape (N, any): features of the images as they are, whose mean and axes are taken.
    others
        Further features in the same axes, as those of mirror images.

    Returns
    -------
    Descriptors of the reference, then of the others.
    """
    mean, covariance = _moments(reference)
    values, axes = np.linalg.eigh(covariance)
    chosen = slice(-_FEATURE_DIMENSIONS, None)
    # An axis without spread holds rounding errors; do not blow them up.
    scale = np.maximum(values[chosen], max(values[-1], 1e-12) * 1e-3) ** (-_FEATURE_WHITENING / 2)
    used = (axes[:, chosen] * scale).astype(np.float32)
    return [
        np.concatenate([_unit((block - mean) @ used) for block in _projected_blocks(features)])
        for features in (reference, *others)
    ]


def _moments(
    features: FeatureRows,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Give mean and covariance of projected features."""
    if len(features) <= _WHOLE_ROWS:
        (projected,) = _projected_blocks(features)
        mean = projected.mean(axis=0)
        centred = projected - mean
        return mean, centred.T.astype(np.float64) @ centred / max(len(centred), 1)
    shift = next(_projected_blocks(features)).mean(axis=0)  # else squares would lose digits
    first = np.zeros(len(shift))
    second = np.zeros((len(shift), len(shift)))
    for block in _projected_blocks(features):
        moved = (block - shift).astype(np.float64)
        first += moved.sum(axis=0)
        second += moved.T @ moved
    first /= len(features)
    return (shift + first).astype(np.float32), second / len(features) - np.outer(first, first)


def _projected_blocks(features: FeatureRows) -> Iterator[npt.NDArray[np.float32]]:
    """Give at most 512 random directions of many features: the axes of 2,024 take 20 times as long.

    Distances stay as they are but for some percent (Johnson and Lindenstrauss 1984).
    """
    count = features.shape[1]
    rng = np.random.default_rng(0)
    directions = None
    if count > _PROJECTED:
        directions = rng.standard_normal((count, _PROJECTED), np.float32) / np.sqrt(_PROJECTED)
        directions = directions.astype(np.float32)
    rows = max(len(features), 1) if len(features) <= _WHOLE_ROWS else _BLOCK
    for start in range(0, max(len(features), 1), rows):
        block = features[start : start + rows]
        numbers = block if isinstance(block, np.ndarray) else block.float().numpy()
        yield numbers if directions is None else numbers @ directions


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
