"""`crop-flip` with a coin tossed for every image and epoch: what its alternation is measured by."""

from __future__ import annotations

from dataclasses import dataclass

from tenfold.data.augmentation.crop_flip import CropFlipPolicy


@dataclass(frozen=True)
class CropRandomFlipPolicy(CropFlipPolicy):
    """As `CropFlipPolicy`, but each epoch's flips are drawn by themselves."""

    name: str = "crop-random-flip"
    alternating_draws: tuple[int, ...] = ()

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say the range of shifts and the share of flips."""
        return (
            super()
            .describe(mirror_keeps_class)
            .replace(
                "in every second epoch, half of the images in the first",
                f"with probability {self.flip_probability:g}",
            )
        )


POLICY = CropRandomFlipPolicy()
