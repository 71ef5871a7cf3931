"""Whether two images show the same picture: laid over each other, edges compared, ever finer.

Two photographs of one kind of thing (a ship on the sea, two T-shirts on a floor) agree in their
coarse brightness, and a classifier's features say "the same"; but their edges do not run alike, the
less the closer one looks. So pairs are compared as thumbnails, and those that may be the same again
at 64 and at 128 pixels, as far as the pictures go: folds, prints and the floor's grain decide.

Strong edges count little more than weak ones: otherwise a picture frame, or the outline of an
aeroplane before the sky, decides alone. What differs in coarse brightness (a caption, a black
corner) counts little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tenfold.data.alignment import (
    align,
    gradients,
    identity,
    likeness_at,
    spread_cells,
    warp,
)
from tenfold.data.dataset import LUMA, Indices
from tenfold.data.image_pairs import ImagePairs
from tenfold.data.store import AnyImages, StoredImages, image_blocks, in_memory, some_images

SIDE_PX = 32
"""Height and width of a thumbnail: CIFAR's own size, where an object can just be told."""
FINER_SIDES_PX = (64, 128)
_BLOCK = {32: 256, 64: 64, 128: 32}
"""Pairs that are worked on at one time, by their side: what a core's cache holds."""
LOOKS = {32: 1, 64: 4, 128: 8}
"""What a look at a pair costs by its side, reading included, in looks at thumbnails (0.7 ms on a
virtual core of an AMD EPYC)."""
_READ_PAIRS = 256  # Pairs whose pictures are read at one time.
_COARSE_BLUR_PX = 2.0
_FINE_BLUR_PX = 0.8
# At 64 and 128 pixels only what is finer than this is laid over each other: a caption's brightness
# pulls at the whole, its edges only at their place. docs/experiments.md.
_DETAIL_BLUR_PX = {64: 3.0, 128: 4.0}
_COARSE_STEPS, _COARSE_PLAIN_STEPS = 5, 3
_STEPS = {32: 5, 64: 5, 128: 3}
# What gives a pair up before it is looked at more closely: well below all that was planted.
_LEAST_COARSE_AGREEMENT = 0.3
_LEAST_TO_GO_ON = {32: 0.8, 64: 0.7}
# An edge of this share of the image's mean gradient counts half: the fewest false pairs on a
# sample judged by eye, between 0.2 and 4. docs/experiments.md.
_EDGE_SOFTNESS = 0.5


@dataclass(frozen=True)
class Detail:
    """Pictures to look at more closely than at thumbnails.

    Parameters
    ----------
    parts
        uint8, shape (N, H, W, C) each; images are numbered on from one part to the next.
    """

    parts: tuple[AnyImages, ...]

    @property
    def sides_px(self) -> tuple[int, ...]:
        """Give the sides that the smallest of the pictures' sizes has pixels for."""
        least = min(
            FINER_SIDES_PX[-1]
            if isinstance(part, StoredImages) and part.pictures is not None
            else min(part.shape[1:3])
            for part in self.parts
        )
        return tuple(side for side in FINER_SIDES_PX if side <= least)

    def luminance(self, numbers: Indices, side_px: int) -> Tensor:
        """Give the brightness of some images, uint8, shape (n, side_px, side_px)."""
        result = torch.empty(len(numbers), side_px, side_px, dtype=torch.uint8)
        first = 0
        for part in self.parts:
            own = np.flatnonzero((numbers >= first) & (numbers < first + len(part)))
            chosen = some_images(part, numbers[own] - first)
            if isinstance(chosen, StoredImages) and chosen.pictures is not None:
                chosen = chosen.at_size(side_px)
            if len(own):
                pixels = torch.from_numpy(np.array(in_memory(chosen))).permute(0, 3, 1, 2)
                luminance = _luminance_of(_resized(pixels.float(), side_px))
                result[torch.from_numpy(own)] = torch.from_numpy(_bytes(luminance))
            first += len(part)
        return result


@torch.inference_mode()
def pixel_agreement(
    thumbnails: Thumbnails,
    pairs: ImagePairs,
    detail: Detail,
    *,
    gives_up: bool = True,
    on_pairs: Callable[[int], None] | None = None,
    on_looks: Callable[[int], None] | None = None,
) -> npt.NDArray[np.float32]:
    """Give how well the edges of each pair agree after they are laid over each other.

    Parameters
    ----------
    thumbnails
        Of all images.
    pairs
        Which to compare.
    detail
        All images, for the closer look.
    gives_up
        Whether pairs that do not agree coarsely are spared the closer look.
    on_pairs
        Told the number of pairs of each block that is done.
    on_looks
        Told what each block cost, see `LOOKS`.

    Returns
    -------
    ndarray
        float32, shape (P,), at most 1, about 0 for unrelated images; 0 for pairs that were given
        up.
    """
    result = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), _READ_PAIRS):
        block = pairs.take(np.arange(start, min(start + _READ_PAIRS, len(pairs))))
        agreement, looks = _agreement(thumbnails, block, detail, gives_up)
        result[start : start + len(block)] = agreement
        if on_pairs is not None:
            on_pairs(len(block))
        if on_looks is not None:
            on_looks(looks)
    return result


def _agreement(
    thumbnails: Thumbnails, pairs: ImagePairs, detail: Detail, gives_up: bool
) -> tuple[npt.NDArray[np.float32], int]:
    """Look at pairs from coarse to fine, at each side at those that may still be the same.

    Gives their agreement and what it cost.
    """
    agreement, place = torch.zeros(len(pairs)), identity(len(pairs))
    alive, looks = torch.arange(len(pairs)), 0
    for side in (SIDE_PX, *detail.sides_px):
        looks += LOOKS[side] * len(alive)
        first, second, is_mirrored = (
            part[alive.numpy()] for part in (pairs.first, pairs.second, pairs.is_mirrored)
        )
        numbers, inverse = np.unique(np.stack([first, second]), return_inverse=True)
        if side == SIDE_PX:
            pictures = torch.from_numpy(thumbnails.luminance[numbers])
        else:
            pictures = detail.luminance(numbers, side)
        one, other = torch.from_numpy(inverse.reshape(2, -1))
        turned = torch.from_numpy(is_mirrored)[:, None, None]
        for some in torch.split(torch.arange(len(alive)), _BLOCK[side]):
            chosen = pictures[other[some]].float() / 255
            pair = (
                pictures[one[some]].float() / 255,
                torch.where(turned[some], chosen.flip(2), chosen),
            )
            own = alive[some]
            if side == SIDE_PX:
                agreement[own], place[own] = _look(*pair, gives_up)
            else:
                agreement[own], place[own] = _closer_look(*pair, place[own], side)
        if gives_up and side != (SIDE_PX, *detail.sides_px)[-1]:
            goes_on = agreement[alive] >= _LEAST_TO_GO_ON[side]
            agreement[alive[~goes_on]] = 0
            alive = alive[goes_on]
    return agreement.numpy(), looks


def _look(first: Tensor, second: Tensor, gives_up: bool) -> tuple[Tensor, Tensor]:
    """Lay thumbnails over each other; give the edges' agreement and the place."""
    coarse = align(
        nn.functional.avg_pool2d(_blurred(first, _COARSE_BLUR_PX), 2),
        nn.functional.avg_pool2d(_blurred(second, _COARSE_BLUR_PX), 2),
        identity(len(first)),
        steps=_COARSE_STEPS,
        plain_steps=_COARSE_PLAIN_STEPS,
    ).place
    first, second = _blurred(first, _FINE_BLUR_PX), _blurred(second, _FINE_BLUR_PX)
    # A caption can pull the coarse place away from where the two lie over each other as they are.
    as_they_are = identity(len(first))
    found, other = _edges_agree(first, second, coarse), _edges_agree(first, second, as_they_are)
    place = torch.where((other > found)[:, None], as_they_are, coarse)
    agreement = torch.zeros(len(first))
    kept = (torch.maximum(found, other) >= (_LEAST_COARSE_AGREEMENT if gives_up else -1)).nonzero()
    kept = kept[:, 0]
    if len(kept):
        first, second, start = first[kept], second[kept], place[kept]
        weights = likeness_at(first, second, start)
        place[kept] = align(first, second, start, steps=_STEPS[SIDE_PX], weights=weights).place
        agreement[kept] = _edges_agree(first, second, place[kept])
    return agreement, place


def _closer_look(
    first: Tensor, second: Tensor, start: Tensor, side_px: int
) -> tuple[Tensor, Tensor]:
    first, second = _blurred(first, _FINE_BLUR_PX), _blurred(second, _FINE_BLUR_PX)
    sigma_px = _DETAIL_BLUR_PX[side_px]
    place = align(
        first - _blurred(first, sigma_px),
        second - _blurred(second, sigma_px),
        start,
        steps=_STEPS[side_px],
    ).place
    return _edges_agree(first, second, place), place


def _edges_agree(first: Tensor, second: Tensor, place: Tensor) -> Tensor:
    """Give the cosine of all edges at a place, where the two show alike brightness."""
    warped, overlap = warp(second, place)
    inside = -nn.functional.max_pool2d(-overlap[:, None], 3, 1, 1)[:, 0]
    inside[:, [0, -1]] = 0
    inside[:, :, [0, -1]] = 0
    edges, other = (_softened(image, inside) for image in (first, warped))
    weights = spread_cells(likeness_at(first, second, place), first.shape[2])
    product = ((edges * other).sum(1) * weights).sum((1, 2))
    lengths = [(of.square().sum(1) * weights).sum((1, 2)) for of in (edges, other)]
    return product / (lengths[0] * lengths[1]).sqrt().clamp(min=1e-9)


def _softened(images: Tensor, inside: Tensor) -> Tensor:
    """Give gradients, strong ones shortened: length g becomes g / (g + softness × mean length)."""
    edges = torch.stack(gradients(images), dim=1) * inside[:, None]  # (N, 2, S, S)
    length = edges.square().sum(1, keepdim=True).sqrt()
    area = inside.sum((1, 2)).clamp(min=1)[:, None, None, None]
    mean = length.sum((1, 2, 3), keepdim=True) / area
    return edges / (length + _EDGE_SOFTNESS * mean).clamp(min=1e-9)


def _blurred(images: Tensor, sigma_px: float) -> Tensor:
    blur = _blur(images.shape[2], sigma_px)
    return blur @ images @ blur.T


@lru_cache
def _blur(side_px: int, sigma_px: float) -> Tensor:
    """Give the matrix that blurs columns, the outermost pixels repeated: of these small images the
    product takes a third of a convolution's time.
    """
    reach = max(1, round(3 * sigma_px))
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-(offsets**2) / (2 * sigma_px**2))
    places = (torch.arange(side_px)[:, None] + offsets).clamp(0, side_px - 1)
    blur = torch.zeros(side_px, side_px)
    return blur.scatter_add_(1, places, (weights / weights.sum()).expand(side_px, -1))


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
        pixels = _resized(torch.from_numpy(np.array(some)).permute(0, 3, 1, 2).float(), SIDE_PX)
        luma = _luminance_of(pixels)[:, None]
        luminance[block] = _bytes(luma[:, 0])
        if pixels.shape[1] == 1:
            continue
        differences = nn.functional.avg_pool2d(pixels[:, [2, 0]] - luma, 4)
        chrominance[block] = _bytes(128 + differences / 2)  # a difference reaches 226
    return Thumbnails(luminance, chrominance)


def _resized(pixels: Tensor, side_px: int) -> Tensor:
    if pixels.shape[2:] == (side_px, side_px):
        return pixels
    return nn.functional.interpolate(
        pixels, (side_px, side_px), mode="bilinear", antialias=True, align_corners=False
    )


def _luminance_of(pixels: Tensor) -> Tensor:
    if pixels.shape[1] == 1:
        return pixels[:, 0]
    return (pixels * pixels.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1)


def _bytes(values: Tensor) -> npt.NDArray[np.uint8]:
    return values.round().clamp(0, 255).to(torch.uint8).numpy()
