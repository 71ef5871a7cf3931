"""Whether two images show the same picture: thumbnails aligned, then compared pixel by pixel.

The pair is laid over each other; then the directions of their
edges are compared. Two photographs of one kind of thing (a ship on the sea, a horse from the side)
agree in their coarse brightness, and a classifier's features say "the same"; but their edges do
not run alike. Strong edges count little more than weak ones: otherwise a picture frame, or the
outline of an aeroplane before the sky, decides alone.

Lay one image over another: stretch, shift, contrast and brightness that make them agree best.
Gauss-Newton steps on the normalised images, so that contrast and brightness drop out: Lucas and
Kanade 1981; Evangelidis and Psarakis 2008, "Parametric image alignment using enhanced correlation
coefficient maximization", doi:10.1109/TPAMI.2008.113. Many pairs are laid over each other at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tenfold.data.dataset import Images, Indices

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


SIDE_PX = 32
"""Height and width of a thumbnail: CIFAR's own size, where an object can just be told."""

_BLOCK = 2000
# ITU-R BT.601: the luma of red, green and blue.
_LUMA = (0.299, 0.587, 0.114)


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


def make_thumbnails(images: Images) -> Thumbnails:
    """Give thumbnails of images of any size.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C), C 1 or 3.
    """
    coarse = SIDE_PX // 4
    luminance = np.empty((len(images), SIDE_PX, SIDE_PX), np.uint8)
    chrominance = np.full((len(images), 2, coarse, coarse), 128, np.uint8)
    for start in range(0, len(images), _BLOCK):
        block = slice(start, start + _BLOCK)
        pixels = _resized(torch.from_numpy(np.array(images[block])).permute(0, 3, 1, 2).float())
        if pixels.shape[1] == 1:
            luminance[block] = _bytes(pixels[:, 0])
            continue
        luma = (pixels * pixels.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
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


_LARGEST_STRETCH = 4 / 3
_LARGEST_SHIFT = 0.375  # 6 of 32 pixels, on the scale -1 to 1
_LARGEST_STEP = 0.1
_DAMPING = 1e-2  # of Levenberg and Marquardt
_SMALL = 1e-6


@dataclass(frozen=True)
class Alignment:
    """Where the second image of each pair has to be read so that it fits the first.

    Parameters
    ----------
    stretch_and_shift
        Shape (N, 4): horizontal and vertical stretch, horizontal and vertical shift. A pixel of
        the first image at (x, y), each from -1 to 1, corresponds to the second's at
        (stretch_x · x + shift_x, stretch_y · y + shift_y).
    correlation
        Shape (N,): normalised correlation where both overlap.
    """

    stretch_and_shift: Tensor
    correlation: Tensor


def identity(count: int) -> Tensor:
    """Give the stretch and shift of `count` pairs that leave them as they are."""
    return torch.tensor([1.0, 1.0, 0.0, 0.0]).repeat(count, 1)


def align(first: Tensor, second: Tensor, start: Tensor, *, steps: int) -> Alignment:
    """Find the stretch and shift under which each pair correlates best.

    Parameters
    ----------
    first, second
        Float, shape (N, S, S).
    start
        Stretch and shift to begin from, shape (N, 4).
    steps
        Gauss-Newton steps; the best of all places visited counts, the first included.
    """
    layers = with_gradients(second)
    place = start
    best_place, best = start, torch.full((len(first),), -2.0)
    for step in range(steps + 1):
        correlation, following = _step(first, layers, place, is_last=step == steps)
        is_better = correlation > best
        best = torch.where(is_better, correlation, best)
        best_place = torch.where(is_better[:, None], place, best_place)
        place = following
    return Alignment(best_place, best)


def with_gradients(images: Tensor) -> Tensor:
    """Give each image with its horizontal and vertical gradient, shape (N, 3, S, S)."""
    padded = nn.functional.pad(images[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    horizontal = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    vertical = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    return torch.stack([images, horizontal, vertical], dim=1)


def warp(layers: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Read images at the places that correspond to another image's pixels.

    Parameters
    ----------
    layers
        Shape (N, C, S, S).
    place
        Stretch and shift, shape (N, 4).

    Returns
    -------
    warped
        Shape (N, C, S, S).
    overlap
        Shape (N, S, S): 1 where a pixel lies inside the image that is read, else 0.
    """
    side = layers.shape[3]
    grid = _grid(side)
    columns = grid * place[:, 0:1] + place[:, 2:3]  # (N, S)
    rows = grid * place[:, 1:2] + place[:, 3:4]
    points = torch.stack(
        [columns[:, None, :].expand(-1, side, -1), rows[:, :, None].expand(-1, -1, side)], dim=3
    )
    edge = 1 - 1 / side + 1e-4  # the centre of the outermost pixel
    overlap = (rows.abs() <= edge)[:, :, None] & (columns.abs() <= edge)[:, None, :]
    warped = nn.functional.grid_sample(layers, points, padding_mode="border", align_corners=False)
    return warped, overlap.to(layers.dtype)


def _grid(side: int) -> Tensor:
    """Give the centres of the pixels of a row on the scale -1 to 1."""
    return (torch.arange(side) + 0.5) * (2 / side) - 1


def _step(first: Tensor, layers: Tensor, place: Tensor, *, is_last: bool) -> tuple[Tensor, Tensor]:
    """Give the correlation at a place and the place that one step leads to."""
    count, side = len(first), first.shape[2]
    warped, overlap = warp(layers, place)
    area = overlap.sum((1, 2)).clamp(min=1)
    target, _ = _normalized(first, overlap, area)
    image, length = _normalized(warped[:, 0], overlap, area)
    correlation = (target * image).sum((1, 2))
    if is_last:
        return correlation, place
    grid = _grid(side)
    # How a pixel changes with stretch and shift: its gradient (per pixel, so times S / 2).
    slope = warped[:, 1:] * (side / 2 / length)[:, None, None, None]
    jacobian = torch.stack(
        [slope[:, 0] * grid, slope[:, 1] * grid[:, None], slope[:, 0], slope[:, 1]], dim=1
    )
    jacobian *= overlap[:, None]
    jacobian -= (jacobian.sum((2, 3)) / area[:, None])[:, :, None, None] * overlap[:, None]
    flat = jacobian.flatten(2)  # (N, 4, S²)
    image = image.flatten(1)
    # Brightness (the mean) and contrast (the direction of the image) are free: project them out.
    flat = flat - (flat @ image[:, :, None]) * image[:, None]
    residual = target.flatten(1) - correlation[:, None] * image
    normal = flat @ flat.transpose(1, 2)
    damping = _DAMPING * normal.diagonal(dim1=1, dim2=2) + 1e-3
    right = (flat @ residual[:, :, None]) / correlation.clamp(min=0.2)[:, None, None]
    change = torch.linalg.solve(normal + torch.diag_embed(damping), right)[:, :, 0]
    following = place + change.clamp(-_LARGEST_STEP, _LARGEST_STEP)
    assert following.shape == (count, 4)
    return correlation, torch.cat(
        [
            following[:, :2].clamp(1 / _LARGEST_STRETCH, _LARGEST_STRETCH),
            following[:, 2:].clamp(-_LARGEST_SHIFT, _LARGEST_SHIFT),
        ],
        dim=1,
    )


def _normalized(images: Tensor, overlap: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """Give images of mean 0 and length 1 within the overlap, and the lengths they had."""
    mean = (images * overlap).sum((1, 2)) / area
    centred = (images - mean[:, None, None]) * overlap
    length = centred.square().sum((1, 2)).sqrt().clamp(min=_SMALL)
    return centred / length[:, None, None], length
