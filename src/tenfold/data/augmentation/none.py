"""No augmentation."""

from __future__ import annotations

from torch import Tensor


class NonePolicy:
    """Leaves the images as they are."""

    name = "none"
    uniforms_per_sample = 0

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say that nothing is changed."""
        del mirror_keeps_class
        return "Images are used as they are."

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Give the images."""
        del uniforms, mirror_keeps_class
        return images


POLICY = NonePolicy()
