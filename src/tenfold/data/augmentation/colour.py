"""Change brightness, contrast and saturation, as other light and another camera would."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.data.augmentation.image_mean import image_mean

_LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the brightness that people see (ITU-R BT.601)."""


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

    name: str = "colour"
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
        if pixels.shape[3] == len(_LUMA):
            gray = _gray(pixels)
            pixels = (pixels - gray).mul_(saturation).add_(gray)
        return pixels.clamp_(0, 255).permute(0, 3, 1, 2)


def _gray(pixels: Tensor) -> Tensor:
    """Give the brightness of pixels (B, H, W, C), shape (B, H, W, 1)."""
    if pixels.shape[3] != len(_LUMA):
        return pixels.mean(3, keepdim=True)
    red, green, blue = torch.split(pixels, 1, dim=3)
    return red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]


CHANGE = ColourChange()
