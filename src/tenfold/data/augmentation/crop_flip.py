"""Shift a little and mirror: the usual light augmentation of small images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CropFlipPolicy:
    """Pads by reflection, crops at random to the old size, and mirrors every second time.

    Half of the images, drawn by the seed, are mirrored in the first epoch and the other half in the
    next: two epochs show each image both ways, where tossing a coin each time would show a half of
    them the same way twice (arXiv 2404.00498, section 3.6).

    Parameters
    ----------
    padding_share
        Padding on every side as a share of that axis, rounded, at least one pixel. 1/16 is 2
        pixels of CIFAR-10's 32, as in Keller Jordan, "94% on CIFAR-10 in 3.29 seconds on a single
        GPU", arXiv 2404.00498; two pixels of an 8x8 digit would cut strokes off.
    flip_probability
        Share of images that are mirrored left to right in an epoch; they alternate at one half.
    """

    name: str = "crop-flip"
    uniforms_per_sample: int = 3
    alternating_draws: tuple[int, ...] = (2,)
    padding_share: float = 1 / 16
    flip_probability: float = 0.5

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say the range of shifts and the share of flips."""
        flip = (
            "and flipped horizontally in every second epoch, half of the images in the first"
            if mirror_keeps_class
            else "and never flipped, as a mirrored image may not show its class"
        )
        return (
            f"Each image is padded by reflection, {self.padding_share:.3g} of its size on every "
            "side (at least one pixel; 2 pixels of 32), cropped to its size at a random place, "
            f"{flip}."
        )

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch; uint8 in, uint8 out; see `AugmentationPolicy`.

        The padded images are never made: rows, then bytes within rows, are gathered from where
        the padding would have reflected them. Both gathers read and write whole rows of bytes.
        """
        count, channels, height, width = images.shape
        device = images.device
        down = self._shifts(height, uniforms[:, 0:1])  # (B, 1)
        right = self._shifts(width, uniforms[:, 1:2])

        row = _reflected(torch.arange(height, device=device) + down, height)  # (B, H)
        row += torch.arange(count, device=device)[:, None] * height
        pixels = images.permute(0, 2, 3, 1).reshape(count * height, width * channels)
        rows = pixels.index_select(0, row.view(-1)).view(count, height, width * channels)

        column = torch.arange(width, device=device).expand(count, width)
        if mirror_keeps_class:
            is_flipped = uniforms[:, 2:3] < self.flip_probability
            column = torch.where(is_flipped, width - 1 - column, column)
        column = _reflected(column + right, width)  # (B, W)
        byte = column[:, :, None] * channels + torch.arange(channels, device=device)  # (B, W, C)
        byte = byte.view(count, 1, width * channels).expand(count, height, -1)
        return rows.gather(2, byte).view(count, height, width, channels).permute(0, 3, 1, 2)

    def _shifts(self, size: int, uniforms: Tensor) -> Tensor:
        """Give whole-pixel shifts, uniform from -padding to padding, of the numbers' shape."""
        padding = max(1, round(size * self.padding_share))
        # The bound is for numbers so near to 1 that the product is rounded up.
        return (uniforms * (2 * padding + 1)).long().clamp_(max=2 * padding) - padding


def _reflected(places: Tensor, size: int) -> Tensor:
    """Mirror places beyond the border back in, the border pixel itself not repeated.

    An image too small to reflect in (of one or two pixels) repeats its border.
    """
    last = size - 1
    return (last - (last - places.abs()).abs()).clamp_(0, last)


POLICY = CropFlipPolicy()
