"""Cut a square out of every image, so that no single part of it can be relied on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.data.augmentation.image_mean import image_mean
from tenfold.data.augmentation.rectangle import is_within


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

    name: str = "cutout"
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


CHANGE = CutoutChange()
