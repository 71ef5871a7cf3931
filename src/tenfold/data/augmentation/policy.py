"""What an augmentation policy offers, and the registry of all policies."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from tenfold.core.registry import Registry


class AugmentationPolicy(Protocol):
    """A random change of images that keeps their class."""

    name: str
    uniforms_per_sample: int
    """Random numbers that one image needs."""

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say in one sentence what the policy does, with its ranges."""

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Change a batch of images.

        Parameters
        ----------
        images
            uint8, shape (B, C, H, W), channels last in memory.
        uniforms
            Shape (B, uniforms_per_sample), in [0, 1), on the images' device. They are the only
            source of randomness.
        mirror_keeps_class
            Whether a mirrored image still shows its class; nothing is flipped otherwise.

        Returns
        -------
        Tensor
            uint8 or float32, same shape and memory order, scale 0 to 255.
        """


POLICIES: Registry[AugmentationPolicy] = Registry(
    "tenfold.data.augmentation", "POLICY", kind="augmentation policy"
)
"""All augmentation policies by name."""
