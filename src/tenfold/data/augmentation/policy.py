"""What an augmentation policy offers, and the registry of all policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tenfold.core.registry import Registry

if TYPE_CHECKING:
    # Names of policies are checked before torch is needed, so it is not imported for them.
    from torch import Tensor


class AugmentationPolicy(Protocol):
    """A random change of images that keeps their class.

    A policy draws nothing itself: it is a function of the images and of uniform random numbers,
    row by row, so a result does not depend on the batch that an image is in.
    """

    @property
    def name(self) -> str:
        """Give the name that the policy is registered under."""

    @property
    def uniforms_per_sample(self) -> int:
        """Give how many random numbers an image takes."""

    @property
    def alternating_draws(self) -> tuple[int, ...]:
        """Give the places of the numbers that are drawn once for an image, not every epoch.

        In every second epoch such a number is moved on by one half, so that a coin which it tosses
        shows both sides in turn (alternating flip, arXiv 2404.00498, section 3.6).
        """

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say in one sentence what the policy does, with its ranges.

        Parameters
        ----------
        mirror_keeps_class
            As for the call.
        """

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch.

        Parameters
        ----------
        images
            uint8, shape (B, C, H, W), channels last in memory; not changed.
        uniforms
            float, shape (B, uniforms_per_sample), 0 included, 1 excluded, on the images' device.
        mirror_keeps_class
            Whether a mirrored image still shows its class; if not, nothing is flipped.

        Returns
        -------
        Tensor
            uint8 or float32 on the scale 0 to 255, of the images' shape, channels last in memory.
        """


POLICIES: Registry[AugmentationPolicy] = Registry(
    "tenfold.data.augmentation", "POLICY", kind="augmentation policy"
)
"""All augmentation policies by name."""

CHANGES: Registry[AugmentationPolicy] = Registry(
    "tenfold.data.augmentation", "CHANGE", kind="augmentation policy"
)
"""Changes that are joined to a policy, by name: they leave every part of the image in its place."""
