"""Whether two images show the same picture: thumbnails laid over each other, edges compared.

Two photographs of one kind of thing (a ship on the sea, a horse from the side) agree in their
coarse brightness, and a classifier's features say "the same"; but their edges do not run alike.
Strong edges count little more than weak ones: otherwise a picture frame, or the outline of an
aeroplane before the sky, decides alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tenfold.data.alignment import align, identity, warp, with_gradients
from tenfold.data.dataset import LUMA, Indices
from tenfold.data.store import AnyImages, image_blocks

SIDE_PX = 32
"""Height and width of a thumbnail: CIFAR's own size, where an object can just be told."""
_BLOCK = 2000  # Pairs or images that are worked on at one time.
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
    for start in range(0, len(pairs), _BLOCK):
        block = pairs.take(np.arange(start, min(start + _BLOCK, len(pairs))))
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


@dataclass(frozen=True)
class Thumbnails:
    """Brightness and colour of every image at one small size.

    Parameters
    ----------
    luminance
        uint8, shape (N, SIDE_PX, SIDE_PX).
    chrominance
        uint8, shape (N, 2, SIDE_PX / 4, SIDE_PX / 4): blue and red less luminance, coarse, with
        128 for none. Gray images have 128 everywhere.
    """

    luminance: npt.NDArray[np.uint8]
    chrominance: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.luminance)


def joined_thumbnails(*parts: Thumbnails) -> Thumbnails:
    """Give the thumbnails of several sets of images as one."""
    return Thumbnails(
        np.concatenate([part.luminance for part in parts]),
        np.concatenate([part.chrominance for part in parts]),
    )


def make_thumbnails(images: AnyImages) -> Thumbnails:
    """Give thumbnails of images of any size.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C), C 1 or 3.
    """
    coarse = SIDE_PX // 4
    luminance = np.empty((len(images), SIDE_PX, SIDE_PX), np.uint8)
    chrominance = np.full((len(images), 2, coarse, coarse), 128, np.uint8)
    done = 0
    for some in image_blocks(images):
        block = slice(done, done + len(some))
        done += len(some)
        pixels = _resized(torch.from_numpy(np.array(some)).permute(0, 3, 1, 2).float())
        if pixels.shape[1] == 1:
            luminance[block] = _bytes(pixels[:, 0])
            continue
        luma = (pixels * pixels.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        luminance[block] = _bytes(luma[:, 0])
        differences = nn.functional.avg_pool2d(pixels[:, [2, 0]] - luma, 4)
        chrominance[block] = _bytes(128 + differences / 2)  # a difference reaches 226
    return Thumbnails(luminance, chrominance)


def _resized(pixels: Tensor) -> Tensor:
    if pixels.shape[2:] == (SIDE_PX, SIDE_PX):
        return pixels
    return nn.functional.interpolate(
        pixels, (SIDE_PX, SIDE_PX), mode="bilinear", antialias=True, align_corners=False
    )


def _bytes(values: Tensor) -> npt.NDArray[np.uint8]:
    return values.round().clamp(0, 255).to(torch.uint8).numpy()
