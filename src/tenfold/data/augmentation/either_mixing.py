"""One of several mixings for each image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.data.augmentation.mixing import Mixing


@dataclass(frozen=True)
class EitherMixing:
    """Mixes each image in one of several ways, drawn with equal probability.

    Parameters
    ----------
    parts
        The ways, at least two.
    """

    parts: tuple[Mixing, ...]

    @property
    def name(self) -> str:
        """Give the parts' names joined by ``+``."""
        return "+".join(part.name for part in self.parts)

    @property
    def uniforms_per_sample(self) -> int:
        """Give one number to choose by, and as many as the part that takes the most."""
        return 1 + max(part.uniforms_per_sample for part in self.parts)

    def describe(self) -> str:
        """Say each part's sentence."""
        ways = " ".join(part.describe() for part in self.parts)
        return f"Each image is mixed in one of {len(self.parts)} ways: {ways}"

    def __call__(self, images: Tensor, partners: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch; float32 out; see `Mixing`."""
        chosen = (uniforms[:, 0] * len(self.parts)).long().clamp_(max=len(self.parts) - 1)
        mixed, share = self.parts[0](images, partners, uniforms[:, 1:])
        mixed = mixed.float()
        for place, part in enumerate(self.parts[1:], start=1):
            other, other_share = part(images, partners, uniforms[:, 1:])
            is_other = chosen == place
            mixed = torch.where(is_other[:, None, None, None], other.float(), mixed)
            share = torch.where(is_other, other_share, share)
        return mixed, share
