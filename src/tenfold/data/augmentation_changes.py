"""Changes that leave an image in its place, and mixings of two images."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from tenfold.core.randomness import sample_uniforms
from tenfold.data.augmentation import CHANGES, MIXINGS
from tenfold.data.dataset import LUMA


@CHANGES.member("colour")
@dataclass(frozen=True)
class ColourChange:
    """Multiplies brightness, contrast and saturation by random factors, in this order.

    The three of "Some improvements on deep convolutional neural network based image
    classification" (Howard, arXiv 1312.5402), with the factors' range of later ImageNet trainings.
    A gray image has no saturation.

    Parameters
    ----------
    strength
        Factors are drawn uniformly from 1 - strength to 1 + strength.
    """

    uniforms_per_sample: int = 3
    alternating_draws: tuple[int, ...] = ()
    strength: float = 0.4

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say the range of the factors."""
        del mirror_keeps_class
        return (
            "Its brightness, contrast and saturation are multiplied by factors from "
            f"{1 - self.strength:.3g} to {1 + self.strength:.3g}."
        )

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch; uint8 or float32 in, float32 out; see `AugmentationPolicy`."""
        del mirror_keeps_class
        factors = 1 + self.strength * (2 * uniforms - 1)  # (B, 3)
        brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
        pixels = images.permute(0, 2, 3, 1) * brightness  # (B, H, W, C) float32
        middle = image_mean(_gray(pixels)).float()
        pixels = (pixels - middle).mul_(contrast).add_(middle)
        if pixels.shape[3] == len(LUMA):
            gray = _gray(pixels)
            pixels = (pixels - gray).mul_(saturation).add_(gray)
        return pixels.clamp_(0, 255).permute(0, 3, 1, 2)


def _gray(pixels: Tensor) -> Tensor:
    """Give the brightness of pixels (B, H, W, C), shape (B, H, W, 1)."""
    if pixels.shape[3] != len(LUMA):
        return pixels.mean(3, keepdim=True)
    red, green, blue = torch.split(pixels, 1, dim=3)
    return red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]


@CHANGES.member("blur")
@dataclass(frozen=True)
class BlurChange:
    """Blurs a share of the images a little, as a lens out of focus does.

    Each pixel takes a share of its neighbours', row by row and column by column; the edge is
    repeated. Three values a row have no more room than for a Gaussian of 0.82 pixels.

    Parameters
    ----------
    image_share
        Of the images, that are blurred at all.
    largest_share
        Of a neighbour; shares are drawn uniformly from 0 to it. 1/3 takes the mean of three.
    """

    uniforms_per_sample: int = 1
    alternating_draws: tuple[int, ...] = ()
    image_share: float = 0.2
    largest_share: float = 1 / 3

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say how many images are blurred, and how far."""
        del mirror_keeps_class
        deviation_px = math.sqrt(2 * self.largest_share)  # of the three shares
        return (
            f"{self.image_share:.0%} of the images are blurred, by up to {deviation_px:.2g} pixels."
        )

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch; uint8 or float32 in, float32 out; see `AugmentationPolicy`."""
        del mirror_keeps_class
        share = self.largest_share * _amounts(uniforms[:, 0], self.image_share)
        pixels = images.permute(0, 2, 3, 1).float()  # (B, H, W, C), as it lies in memory
        chosen = share.nonzero()[:, 0]  # the others stay, and cost nothing
        shown = pixels[chosen]
        for axis in (1, 2):
            steps = shown.diff(dim=axis) * share[chosen, None, None, None]
            last = shown.shape[axis] - 1
            shown.narrow(axis, 0, last).add_(steps)
            shown.narrow(axis, 1, last).sub_(steps)
        # A copy, as float() gives float32 images themselves.
        return pixels.index_copy(0, chosen, shown.clamp_(0, 255)).permute(0, 3, 1, 2)


@CHANGES.member("noise")
@dataclass(frozen=True)
class NoiseChange:
    """Adds Gaussian noise of its own to every value of a share of the images, as a sensor does.

    A change draws nothing itself, and a normal number a value would take a multiple of the rest of
    the augmentation: an image's noise is a stretch of one long row of normal numbers, begun at a
    random place.

    Parameters
    ----------
    image_share
        Of the images, that have noise at all.
    largest_deviation
        As a share of the full range; deviations are drawn uniformly from 0 to it.
    """

    uniforms_per_sample: int = 2
    alternating_draws: tuple[int, ...] = ()
    image_share: float = 0.3
    largest_deviation: float = 0.06

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say how many images have noise, and how much."""
        del mirror_keeps_class
        return (
            f"{self.image_share:.0%} of the images get Gaussian noise of a standard deviation of "
            f"up to {self.largest_deviation:.3g} of the full range."
        )

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch; uint8 or float32 in, float32 out; see `AugmentationPolicy`."""
        del mirror_keeps_class
        rows = images.permute(0, 2, 3, 1)  # (B, H, W, C), as it lies in memory
        values = rows[0].numel()
        normal = _normal_numbers(_PLACES + values, images.device)
        deviation = 255 * self.largest_deviation * _amounts(uniforms[:, 1], self.image_share)
        chosen = deviation.nonzero()[:, 0]  # the others stay, and cost nothing
        first = (uniforms[chosen, 0] * _PLACES).long()
        noise = normal.unfold(0, values, 1)[first].mul_(deviation[chosen, None])
        noisy = noise.view(-1, *rows.shape[1:]).add_(rows[chosen]).clamp_(0, 255)
        # A copy, as float() gives float32 images themselves.
        return rows.float().index_copy(0, chosen, noisy).permute(0, 3, 1, 2)


_PLACES = 2**20
"""Where an image's noise may begin."""


@functools.cache
def _normal_numbers(count: int, device: torch.device) -> Tensor:
    """Give the first of one row of normal numbers, float32, the same in every process."""
    uniforms = sample_uniforms(0, 0, np.zeros(1, np.int64), count, stream="noise change")
    return torch.from_numpy(ndtri(uniforms[0].clip(2**-54, None)).astype(np.float32)).to(device)


def _amounts(uniforms: Tensor, share: float) -> Tensor:
    """Give 0 for all but a share of the images, and for these uniform numbers from 0 to 1."""
    return (uniforms - (1 - share)).clamp_min(0) / share


@CHANGES.member("cutout")
@dataclass(frozen=True)
class CutoutChange:
    """Fills a rectangle at a random place with the image's mean colour.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout",
    arXiv 1708.04552: the centre may be anywhere, so that a part of the rectangle may lie outside.
    They fill with zero after normalisation, the data set's mean; a change sees single images, so
    the image's own mean stands for it, which leaves its brightness as it was.

    Parameters
    ----------
    side_share
        Height and width of the rectangle as a share of the image's; 1/2 is the paper's 16 of
        CIFAR-10's 32 pixels.
    """

    uniforms_per_sample: int = 2
    alternating_draws: tuple[int, ...] = ()
    side_share: float = 0.5

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say how large the rectangle is."""
        del mirror_keeps_class
        return (
            f"A rectangle of {self.side_share:.3g} of its height and width, centred at a random "
            "place, is filled with its mean colour (cutout)."
        )

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch, in the images' type; see `AugmentationPolicy`."""
        del mirror_keeps_class
        height, width = images.shape[2:]
        rows = images.permute(0, 2, 3, 1)  # (B, H, W, C), as it lies in memory
        mean = image_mean(rows).round_().to(images.dtype)
        is_cut = (
            is_within(height, self._side(height), uniforms[:, 0:1])[:, :, None]
            & is_within(width, self._side(width), uniforms[:, 1:2])[:, None, :]
        )  # (B, H, W)
        return torch.where(is_cut[..., None], mean, rows).permute(0, 3, 1, 2)

    def _side(self, size: int) -> int:
        return max(1, round(size * self.side_share))


@MIXINGS.member("cutmix")
@dataclass(frozen=True)
class CutmixMixing:
    """Replaces a rectangle of the image's own proportions by the same place of its partner.

    Yun et al., "CutMix: Regularization strategy to train strong classifiers with localizable
    features", arXiv 1905.04899, section 3.2 and its code: the share that is kept is drawn uniformly
    from 0 to 1, the centre is anywhere, and the labels are mixed by the area that is really pasted.
    """

    uniforms_per_sample: int = 3

    def describe(self) -> str:
        """Say what is pasted."""
        return (
            "A rectangle of random size and place is replaced by that of another training image, "
            "and their labels are mixed by area (cutmix)."
        )

    def __call__(self, images: Tensor, partners: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Paste into a batch, in the images' type; see `Mixing`."""
        height, width = images.shape[2:]
        side = (1 - uniforms[:, 0:1]).sqrt()  # (B, 1), share of the height and of the width
        row = is_within(height, (side * height).round().long(), uniforms[:, 1:2])  # (B, H)
        column = is_within(width, (side * width).round().long(), uniforms[:, 2:3])  # (B, W)
        is_pasted = row[:, :, None] & column[:, None, :]
        area = row.sum(1) * column.sum(1)  # (B,)
        mixed = torch.where(
            is_pasted[..., None], partners.permute(0, 2, 3, 1), images.permute(0, 2, 3, 1)
        )
        return mixed.permute(0, 3, 1, 2), 1 - area / float(height * width)


@MIXINGS.member("mixup")
@dataclass(frozen=True)
class MixupMixing:
    """The weighted mean of two images, the weight drawn uniformly from 0 to 1.

    Zhang et al., "mixup: Beyond empirical risk minimization", arXiv 1710.09412: the share follows
    a Beta distribution with both parameters 1 on CIFAR-10, which is the uniform one.
    """

    uniforms_per_sample: int = 1

    def describe(self) -> str:
        """Say how it is blended."""
        return (
            "It is blended with another training image, in shares drawn from 0 to 1, and so are "
            "their labels (mixup)."
        )

    def __call__(self, images: Tensor, partners: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Blend a batch; float32 out; see `Mixing`."""
        share = uniforms[:, 0]
        weight = share[:, None, None, None]
        return images * weight + partners * (1 - weight), share


def is_within(size: int, side: int | Tensor, uniforms: Tensor) -> Tensor:
    """Say which of `size` places lie within `side` places about a random centre.

    The centre may be any of the places, so a part of the rectangle may lie outside.

    Parameters
    ----------
    size
        The image's height or width.
    side
        The rectangle's; shape (B, 1) where it differs from image to image.
    uniforms
        From 0 to 1, shape (B, 1): what places the centre.

    Returns
    -------
    Tensor
        bool, shape (B, size).
    """
    centre = (uniforms * size).long().clamp_(max=size - 1)  # (B, 1)
    place = torch.arange(size, device=uniforms.device)
    first = centre - side // 2
    return (place >= first) & (place < first + side)


def image_mean(pixels: Tensor) -> Tensor:
    """Give the mean of each channel of each image.

    Parameters
    ----------
    pixels
        uint8 or float32, shape (B, H, W, C).

    Returns
    -------
    Tensor
        Shape (B, 1, 1, C). In float64 the sum of whole numbers is exact, so that an image does not
        depend on its place in the batch; Metal has float32 alone.
    """
    dtype = torch.float32 if pixels.device.type == "mps" else torch.float64
    return pixels.mean((1, 2), keepdim=True, dtype=dtype)
