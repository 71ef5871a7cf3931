"""The original report's augmentation: Keras' ImageDataGenerator, with its parameters' meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.data.augmentation.affine import affine_transform


@dataclass(frozen=True)
class ReportPolicy:
    """Rotate, shift, shear, zoom and flip in one affine transform a sample.

    The meaning of each parameter is that of ``keras.preprocessing.image.ImageDataGenerator``
    (keras/src/legacy/preprocessing/image.py, ``get_random_transform`` and
    ``apply_affine_transform``): the matrices are multiplied in the order rotation, shift, shear,
    zoom, about the image's centre, from output to input coordinates (row, column); bilinear, the
    nearest pixel outside; the flip comes after.

    Parameters
    ----------
    rotation_degrees
        Angle up to this, either way.
    shift_share
        Shift up to this share of height and of width.
    shear_degrees
        Shear angle up to this. ImageDataGenerator takes ``shear_range`` in degrees, so the
        original's 0.15 is next to nothing; it is kept as it is.
    zoom_range
        Factor between 1 - zoom_range and 1 + zoom_range, drawn for each axis.
    """

    name: str = "report"
    uniforms_per_sample: int = 7
    rotation_degrees: float = 20.0
    shift_share: float = 0.2
    shear_degrees: float = 0.15
    zoom_range: float = 0.2

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say what the policy does."""
        text = (
            f"Rotation up to ±{self.rotation_degrees:g}°, shifts up to ±{self.shift_share:.0%} of "
            f"width and height, shear up to ±{self.shear_degrees:g}°, zoom between "
            f"{1 - self.zoom_range:g} and {1 + self.zoom_range:g} for each axis"
        )
        if mirror_keeps_class:
            return f"{text}, and a horizontal flip of every second image."
        return f"{text}; no flip, because a mirrored image would show another class."

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Transform each image by its own random matrix."""
        height, width = images.shape[2:]
        matrices, shifts = self._matrices(uniforms, height, width)
        centre = torch.tensor([(height - 1) / 2, (width - 1) / 2], device=images.device)
        if mirror_keeps_class:
            # A flip after the transform reads output column c from output column W-1-c, so the
            # matrix's second column changes sign about the centre.
            sign = torch.where(uniforms[:, 6] < 0.5, -1.0, 1.0)  # (B,)
            matrices = matrices * torch.stack([torch.ones_like(sign), sign], dim=1)[:, None, :]
        offsets = centre + shifts - matrices @ centre
        return affine_transform(images, matrices, offsets)

    def _matrices(self, uniforms: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Give linear parts (B, 2, 2) and translations (B, 2) about the centre."""
        signed = uniforms * 2 - 1  # [-1, 1)
        angle = signed[:, 0] * math.radians(self.rotation_degrees)
        shift_rows = signed[:, 1] * (self.shift_share * height)
        shift_columns = signed[:, 2] * (self.shift_share * width)
        shear = signed[:, 3] * math.radians(self.shear_degrees)
        zoom_rows = 1 + signed[:, 4] * self.zoom_range
        zoom_columns = 1 + signed[:, 5] * self.zoom_range
        rotation = _matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos())
        one, zero = torch.ones_like(shear), torch.zeros_like(shear)
        shearing = _matrix(one, -shear.sin(), zero, shear.cos())
        zoom = _matrix(zoom_rows, zero, zero, zoom_columns)
        # rotation · shift: the shift is turned by the rotation, not by shear and zoom.
        shift = torch.stack([shift_rows, shift_columns], dim=1)[:, :, None]
        return rotation @ shearing @ zoom, (rotation @ shift)[:, :, 0]


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Stack four (B,) tensors to matrices [[a, b], [c, d]], shape (B, 2, 2)."""
    return torch.stack([torch.stack([a, b], dim=1), torch.stack([c, d], dim=1)], dim=1)


POLICY = ReportPolicy()
