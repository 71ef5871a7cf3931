"""What a mixing of two images offers, and the registry of all mixings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tenfold.core.registry import Registry

if TYPE_CHECKING:
    # Names are checked before torch is needed, so it is not imported for them.
    from torch import Tensor


class Mixing(Protocol):
    """A random mixture of an image and a partner, which shows the classes of both in part.

    Like a policy it draws nothing itself: it is a function of the images, their partners and of
    uniform random numbers, row by row.
    """

    @property
    def name(self) -> str:
        """Give the name that the mixing is registered under."""

    @property
    def uniforms_per_sample(self) -> int:
        """Give how many random numbers an image takes."""

    def describe(self) -> str:
        """Say in one sentence how images are mixed."""

    def __call__(self, images: Tensor, partners: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Parameters
        ----------
        images, partners
            uint8 or float32 on the scale 0 to 255, both of one type, shape (B, C, H, W), channels
            last in memory; not changed.
        uniforms
            float32, shape (B, uniforms_per_sample), 0 included, 1 excluded.

        Returns
        -------
        mixed
            uint8 or float32, the images' shape, channels last in memory.
        share
            float32, shape (B,), 0 to 1: how much of a mixture is the image, the rest its partner.
        """


MIXINGS: Registry[Mixing] = Registry("tenfold.data.augmentation", "MIXING", kind="mixing")
"""All mixings by name."""
