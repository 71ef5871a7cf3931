"""No augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class NonePolicy:
    """Gives the images as they are."""

    name: str = "none"
    uniforms_per_sample: int = 0
    alternating_draws: tuple[int, ...] = ()

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say that nothing is changed."""
        del mirror_keeps_class
        return "Images are used as they are."

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Give `images` itself; see `AugmentationPolicy`."""
        del uniforms, mirror_keeps_class
        return images


POLICY = NonePolicy()
