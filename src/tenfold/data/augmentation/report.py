"""The original report's augmentation: Keras' ImageDataGenerator with the report's ranges.

Its meaning was read from ``keras/src/legacy/preprocessing/image.py`` (Keras 3):

- rotation and shear are degrees: the report's ``shear_range=0.15`` is a shear of at most 0.15
  degrees, next to nothing;
- shifts are shares of the image's width and height;
- ``zoom_range=0.2`` draws a factor from 0.8 to 1.2 for each axis separately;
- the flip comes after the affine transform, with probability 0.5;
- the transform is about the centre of the pixel grid, bilinear, the nearest pixel outside.

On an image that is not square, Keras 3 takes the height for the width in shift and centre; here
each axis has its own. On square images, as the report's, the two are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.data.augmentation.affine import affine_matrices, warp


@dataclass(frozen=True)
class ReportPolicy:
    """One random affine transform an image; every amount is drawn uniformly and by itself.

    Parameters
    ----------
    rotation_degrees
        Rotation by at most this, either way.
    width_shift, height_shift
        Shift by at most this share of width and height, either way.
    shear_degrees
        Shear by at most this, either way.
    zoom
        Factors from 1 - zoom to 1 + zoom, drawn for each axis; below 1 enlarges.
    flip_probability
        Share of images that are mirrored left to right.
    """

    name: str = "report"
    uniforms_per_sample: int = 7
    alternating_draws: tuple[int, ...] = ()
    rotation_degrees: float = 20.0
    width_shift: float = 0.2
    height_shift: float = 0.2
    shear_degrees: float = 0.15
    zoom: float = 0.2
    flip_probability: float = 0.5

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say all ranges."""
        flip = (
            f"flipped horizontally with probability {self.flip_probability:g}"
            if mirror_keeps_class
            else "never flipped, as a mirrored image may not show its class"
        )
        return (
            f"Each image is rotated by up to ±{self.rotation_degrees:g}°, shifted by up to "
            f"±{self.width_shift:.0%} of its width and ±{self.height_shift:.0%} of its height, "
            f"sheared by up to ±{self.shear_degrees:g}°, zoomed by {1 - self.zoom:g} to "
            f"{1 + self.zoom:g} separately for each axis (bilinear, nearest pixel outside), "
            f"and {flip}."
        )

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch; uint8 in, float32 out; see `AugmentationPolicy`."""
        matrices = self.matrices(uniforms, height=images.shape[2], width=images.shape[3])
        if mirror_keeps_class:
            # A flip of the output reads the same places with x of the other sign.
            is_flipped = uniforms[:, 6] < self.flip_probability
            sign = torch.where(is_flipped, -1.0, 1.0).to(matrices)
            matrices[:, :, 0] *= sign[:, None]
        return warp(images, matrices)

    def matrices(self, uniforms: Tensor, *, height: int, width: int) -> Tensor:
        """Give the transforms without their flips.

        Parameters
        ----------
        uniforms
            Shape (B, 7): rotation, vertical shift, horizontal shift, shear, zoom along x, zoom
            along y, flip.
        height, width
            Of the images, in pixels.

        Returns
        -------
        Tensor
            Shape (B, 2, 3); see `affine_matrices`.
        """
        # In float32 a vector unit and its scalar tail differ in the last bit of a sine, and then
        # an image would depend on its place in the batch. Metal has no float64.
        dtype = torch.float32 if uniforms.device.type == "mps" else torch.float64
        rotation, down, right, shear, zoom_x, zoom_y, _ = (2 * uniforms.to(dtype) - 1).unbind(1)
        return affine_matrices(
            rotation=rotation * math.radians(self.rotation_degrees),
            shift_x=right * self.width_shift * width,
            shift_y=down * self.height_shift * height,
            shear=shear * math.radians(self.shear_degrees),
            zoom_x=1 + zoom_x * self.zoom,
            zoom_y=1 + zoom_y * self.zoom,
        )


POLICY = ReportPolicy()
