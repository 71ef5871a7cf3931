"""Blend two images, and their labels in the same shares."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class MixupMixing:
    """The weighted mean of two images, the weight drawn uniformly from 0 to 1.

    Zhang et al., "mixup: Beyond empirical risk minimization", arXiv 1710.09412: the share follows
    a Beta distribution with both parameters 1 on CIFAR-10, which is the uniform one.
    """

    name: str = "mixup"
    uniforms_per_sample: int = 1

    def describe(self) -> str:
        """Say how it is blended."""
        return (
            "It is blended with another training image, in shares drawn from 0 to 1, and so are "
            "their labels (mixup)."
        )

    def __call__(self, images: Tensor, partners: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Blend a batch; float32 out; see `Mixing`."""
        share = uniforms[:, 0]
        weight = share[:, None, None, None]
        return images * weight + partners * (1 - weight), share


MIXING = MixupMixing()
