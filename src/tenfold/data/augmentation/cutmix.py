"""Paste a rectangle of another image, and mix the labels by area."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.data.augmentation.rectangle import is_within


@dataclass(frozen=True)
class CutmixMixing:
    """Replaces a rectangle of the image's own proportions by the same place of its partner.

    Yun et al., "CutMix: Regularization strategy to train strong classifiers with localizable
    features", arXiv 1905.04899, section 3.2 and its code: the share that is kept is drawn uniformly
    from 0 to 1, the centre is anywhere, and the labels are mixed by the area that is really pasted.
    """

    name: str = "cutmix"
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


MIXING = CutmixMixing()
