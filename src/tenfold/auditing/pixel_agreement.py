"""Whether two images show the same shot: the second, independent measure, on pixels alone.

The pair is laid over each other (`tenfold.auditing.alignment`); then the directions of their
edges are compared. Two photographs of one kind of thing (a ship on the sea, a horse from the side)
agree in their coarse brightness, and a classifier's features say "the same"; but their edges do
not run alike. Strong edges count little more than weak ones: otherwise a picture frame, or the
outline of an aeroplane before the sky, decides alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tenfold.auditing.alignment import align, identity, warp, with_gradients
from tenfold.auditing.image_pairs import ImagePairs
from tenfold.auditing.thumbnails import Thumbnails

_BATCH = 2000
_COARSE_BLUR_PX = 2.0
_FINE_BLUR_PX = 0.8
_COARSE_STEPS = 5
_FINE_STEPS = 5
# A pair that correlates less than this when blurred is given up: of the pairs that agree in the
# end, fewer than 1 in 100 did. docs/experiments.md.
_LEAST_COARSE_CORRELATION = 0.75
# An edge of this share of the image's mean gradient counts half: the fewest false pairs on a
# sample judged by eye, between 0.2 and 4. docs/experiments.md.
_EDGE_SOFTNESS = 0.5


@torch.inference_mode()
def pixel_agreement(
    thumbnails: Thumbnails, pairs: ImagePairs, *, on_pairs: Callable[[int], None] | None = None
) -> npt.NDArray[np.float32]:
    """Give how well the edges of each pair agree after they are laid over each other.

    Parameters
    ----------
    thumbnails
        Of all images.
    pairs
        Which to compare.
    on_pairs
        Told the number of pairs of each block that is done.

    Returns
    -------
    ndarray
        float32, shape (P,), at most 1, about 0 for unrelated images; 0 for pairs that were given
        up after the coarse look.
    """
    result = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), _BATCH):
        block = pairs.take(np.arange(start, min(start + _BATCH, len(pairs))))
        first, second = _luminance(thumbnails, block)
        coarse = align(_coarse(first), _coarse(second), identity(len(block)), steps=_COARSE_STEPS)
        kept = (coarse.correlation >= _LEAST_COARSE_CORRELATION).nonzero()[:, 0]
        if len(kept):
            agreement = _fine_agreement(first[kept], second[kept], coarse.stretch_and_shift[kept])
            result[start + kept.numpy()] = agreement.numpy()
        if on_pairs is not None:
            on_pairs(len(block))
    return result


def _luminance(thumbnails: Thumbnails, pairs: ImagePairs) -> tuple[Tensor, Tensor]:
    first = torch.from_numpy(thumbnails.luminance[pairs.first]).float() / 255
    second = torch.from_numpy(thumbnails.luminance[pairs.second]).float() / 255
    is_mirrored = torch.from_numpy(pairs.is_mirrored)
    return first, torch.where(is_mirrored[:, None, None], second.flip(2), second)


def _coarse(luminance: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(_blurred(luminance, _COARSE_BLUR_PX), 2)


def _fine_agreement(first: Tensor, second: Tensor, start: Tensor) -> Tensor:
    first, second = _blurred(first, _FINE_BLUR_PX), _blurred(second, _FINE_BLUR_PX)
    place = align(first, second, start, steps=_FINE_STEPS).stretch_and_shift
    warped, overlap = warp(with_gradients(second), place)
    stretch = place[:, :2, None, None]
    edges = _softened(with_gradients(first)[:, 1:], overlap)
    other = _softened(warped[:, 1:] * stretch, overlap)
    product = (edges * other).sum((1, 2, 3))
    lengths = edges.square().sum((1, 2, 3)) * other.square().sum((1, 2, 3))
    return product / lengths.sqrt().clamp(min=1e-9)


def _softened(gradients: Tensor, overlap: Tensor) -> Tensor:
    """Shorten strong gradients: length g becomes g / (g + softness × mean length)."""
    gradients = gradients * overlap[:, None]
    length = gradients.square().sum(1, keepdim=True).sqrt()
    area = overlap.sum((1, 2)).clamp(min=1)[:, None, None, None]
    mean = length.sum((1, 2, 3), keepdim=True) / area
    return gradients / (length + _EDGE_SOFTNESS * mean).clamp(min=1e-9)


def _blurred(images: Tensor, sigma_px: float) -> Tensor:
    reach = max(1, round(3 * sigma_px))
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-(offsets**2) / (2 * sigma_px**2))
    weights = weights / weights.sum()
    padded = nn.functional.pad(images[:, None], (reach,) * 4, mode="replicate")
    rows = nn.functional.conv2d(padded, weights.view(1, 1, 1, -1))
    return nn.functional.conv2d(rows, weights.view(1, 1, -1, 1))[:, 0]
