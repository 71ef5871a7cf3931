"""Shift by up to two pixels and flip: the usual augmentation of small images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CropFlipPolicy:
    """Reflect-pad, crop at random, flip at random.

    As in the fast CIFAR-10 recipes (arXiv 2404.00498), which pad by 2 pixels with reflection.
    """

    name: str = "crop-flip"
    uniforms_per_sample: int = 3
    padding_px: int = 2

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say what the policy does."""
        text = (
            f"A random shift of up to {self.padding_px} pixels in each direction, the border "
            "filled by reflection"
        )
        if mirror_keeps_class:
            return f"{text}, and a horizontal flip of every second image."
        return f"{text}; no flip, because a mirrored image would show another class."

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Give each image's window into its padded self: one gather of whole pixels."""
        batch, channels, height, width = images.shape
        shifts = (uniforms[:, :2] * (2 * self.padding_px + 1)).long() - self.padding_px  # (B, 2)
        rows = _reflected(height, shifts[:, 0])  # (B, H)
        columns = _reflected(width, shifts[:, 1])  # (B, W)
        if mirror_keeps_class:
            is_flipped = uniforms[:, 2] < 0.5
            columns = torch.where(is_flipped[:, None], columns.flip(1), columns)
        first = torch.arange(batch, device=images.device) * (height * width)
        index = first[:, None, None] + rows[:, :, None] * width + columns[:, None, :]  # (B, H, W)
        pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)
        chosen = pixels.index_select(0, index.flatten())
        return chosen.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _reflected(size: int, shifts: Tensor) -> Tensor:
    """Give the source coordinate of each of `size` places, shape (B, size).

    Reflection without repeating the border, as numpy.pad's ``reflect``.
    """
    places = (torch.arange(size, device=shifts.device)[None, :] + shifts[:, None]).abs()
    last = size - 1
    return (last - (last - places).abs()).clamp(0, last)


POLICY = CropFlipPolicy()
