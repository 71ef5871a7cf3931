"""Augmentation policies: ways to move an image that keep its class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tenfold.data.augmentation import POLICIES


@POLICIES.member("none")
@dataclass(frozen=True)
class NonePolicy:
    """Gives the images as they are."""

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


@POLICIES.member("crop-flip")
@dataclass(frozen=True)
class CropFlipPolicy:
    """Pads by reflection, crops at random to the old size, and mirrors every second time.

    Half of the images, drawn by the seed, are mirrored in the first epoch and the other half in the
    next: two epochs show each image both ways, where tossing a coin each time would show a half of
    them the same way twice (arXiv 2404.00498, section 3.6).

    Parameters
    ----------
    padding_share
        Padding on every side as a share of that axis, rounded, at least one pixel. 1/16 is 2
        pixels of CIFAR-10's 32, as in Keller Jordan, "94% on CIFAR-10 in 3.29 seconds on a single
        GPU", arXiv 2404.00498; two pixels of an 8x8 digit would cut strokes off.
    flip_probability
        Share of images that are mirrored left to right in an epoch; they alternate at one half.
    """

    uniforms_per_sample: int = 3
    alternating_draws: tuple[int, ...] = (2,)
    padding_share: float = 1 / 16
    flip_probability: float = 0.5

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say the range of shifts and the share of flips."""
        flip = (
            "and flipped horizontally in every second epoch, half of the images in the first"
            if mirror_keeps_class
            else "and never flipped, as a mirrored image may not show its class"
        )
        return (
            f"Each image is padded by reflection, {self.padding_share:.3g} of its size on every "
            "side (at least one pixel; 2 pixels of 32), cropped to its size at a random place, "
            f"{flip}."
        )

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch; uint8 in, uint8 out; see `AugmentationPolicy`.

        The padded images are never made: rows, then bytes within rows, are gathered from where
        the padding would have reflected them. Both gathers read and write whole rows of bytes.
        """
        count, channels, height, width = images.shape
        device = images.device
        down = self._shifts(height, uniforms[:, 0:1])  # (B, 1)
        right = self._shifts(width, uniforms[:, 1:2])

        row = _reflected(torch.arange(height, device=device) + down, height)  # (B, H)
        row += torch.arange(count, device=device)[:, None] * height
        pixels = images.permute(0, 2, 3, 1).reshape(count * height, width * channels)
        rows = pixels.index_select(0, row.view(-1)).view(count, height, width * channels)

        column = torch.arange(width, device=device).expand(count, width)
        if mirror_keeps_class:
            is_flipped = uniforms[:, 2:3] < self.flip_probability
            column = torch.where(is_flipped, width - 1 - column, column)
        column = _reflected(column + right, width)  # (B, W)
        byte = column[:, :, None] * channels + torch.arange(channels, device=device)  # (B, W, C)
        byte = byte.view(count, 1, width * channels).expand(count, height, -1)
        return rows.gather(2, byte).view(count, height, width, channels).permute(0, 3, 1, 2)

    def _shifts(self, size: int, uniforms: Tensor) -> Tensor:
        """Give whole-pixel shifts, uniform from -padding to padding, of the numbers' shape."""
        padding = max(1, round(size * self.padding_share))
        # The bound is for numbers so near to 1 that the product is rounded up.
        return (uniforms * (2 * padding + 1)).long().clamp_(max=2 * padding) - padding


def _reflected(places: Tensor, size: int) -> Tensor:
    """Mirror places beyond the border back in, the border pixel itself not repeated.

    An image too small to reflect in (of one or two pixels) repeats its border.
    """
    last = size - 1
    return (last - (last - places.abs()).abs()).clamp_(0, last)


@POLICIES.member("crop-random-flip")
@dataclass(frozen=True)
class CropRandomFlipPolicy(CropFlipPolicy):
    """As `CropFlipPolicy`, but each epoch's flips are drawn by themselves.

    What the alternation of `CropFlipPolicy` is measured by.
    """

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


@POLICIES.member("random-resized-crop")
@dataclass(frozen=True)
class RandomResizedCropPolicy:
    """Shows a part of random area, aspect ratio and place, scaled to the image's size.

    Szegedy et al., "Going Deeper with Convolutions" (arXiv 1409.4842, section 6), with the ranges
    that torchvision has made the custom. A part that would be higher or wider than the image ends
    at its border, where torchvision draws again: each image takes the same count of random numbers.

    Out of a whole picture (see `PicturePolicy`) the part has all of its pixels, and what is shown
    of a picture that is not square reaches to its ends.

    Parameters
    ----------
    least_area
        Smallest share of the image's area that is shown; the largest is all of it.
    aspect
        Width to height of the part, from 1 / aspect to aspect times that of what is shown.
    flip_probability
        Share of images that are mirrored left to right in an epoch; they alternate at one half.
    """

    uniforms_per_sample: int = 5
    alternating_draws: tuple[int, ...] = (4,)
    least_area: float = 0.08
    aspect: float = 4 / 3
    flip_probability: float = 0.5

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say the ranges of area and aspect ratio, and the share of flips."""
        flip = (
            "and flipped horizontally in every second epoch, half of the images in the first"
            if mirror_keeps_class
            else "and never flipped, as a mirrored image may not show its class"
        )
        return (
            f"Of each image a part at a random place is shown, {self.least_area:.0%} to 100% of "
            f"its area and {1 / self.aspect:.2f} to {self.aspect:.2f} times as wide as high, cut "
            f"out of the whole picture and scaled to the image's size, {flip}."
        )

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch; uint8 in, uint8 or float32 out; see `AugmentationPolicy`."""
        height, width = images.shape[2:]
        return self.cut(
            images.permute(0, 2, 3, 1).unbind(),
            uniforms,
            size=(height, width),
            mirror_keeps_class=mirror_keeps_class,
        )

    def cut(
        self,
        pictures: Sequence[Tensor],
        uniforms: Tensor,
        *,
        size: tuple[int, int],
        mirror_keeps_class: bool,
    ) -> Tensor:
        """Augment pictures; uint8 in, uint8 or float32 out; see `PicturePolicy`."""
        parts = []
        for picture, numbers in zip(pictures, uniforms.tolist(), strict=True):
            top, left, height, width = self.box(numbers, picture.shape[:2], size)
            part = resized(picture[top : top + height, left : left + width], size)
            is_flipped = mirror_keeps_class and numbers[4] < self.flip_probability
            parts.append(part.flip(1) if is_flipped else part)
        return torch.stack(parts).permute(0, 3, 1, 2)

    def box(
        self, numbers: Sequence[float], full: Sequence[int], size: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        """Give top, left, height and width of the part, in pixels.

        Parameters
        ----------
        numbers
            Four of 0 to 1: area, aspect ratio, place down, place to the right.
        full, size
            Height and width of the picture, and of what is shown.
        """
        full_height, full_width = full
        area = full_height * full_width * (self.least_area + (1 - self.least_area) * numbers[0])
        aspect = size[1] / size[0] * self.aspect ** (2 * numbers[1] - 1)
        height = min(math.sqrt(area / aspect), full_height)
        width = min(math.sqrt(area * aspect), full_width)
        # Of a long picture the border leaves a part longer than any that is drawn.
        most, least = size[1] / size[0] * self.aspect, size[1] / size[0] / self.aspect
        rows = max(1, round(min(height, width / least)))
        columns = max(1, round(min(width, height * most)))
        top = min(int(numbers[2] * (full_height - rows + 1)), full_height - rows)
        left = min(int(numbers[3] * (full_width - columns + 1)), full_width - columns)
        return top, left, rows, columns


@POLICIES.member("large-resized-crop")
@dataclass(frozen=True)
class LargeResizedCropPolicy(RandomResizedCropPolicy):
    """As `RandomResizedCropPolicy`, of larger parts: for a training of few epochs.

    A small part needs many epochs to be worth its difficulty; 0.35 is what short ImageNet trainings
    begin with (github.com/libffcv/ffcv-imagenet).
    """

    least_area: float = 0.35


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale an image to a size, bilinear with antialiasing.

    Parameters
    ----------
    image
        uint8, shape (H, W, C).
    size
        Height and width, in pixels.

    Returns
    -------
    Tensor
        Shape (*size, C), scale 0 to 255: uint8 on a CPU, elsewhere float32, as torch has it.
    """
    pixels = image.permute(2, 0, 1)[None]
    if pixels.device.type != "cpu":
        pixels = pixels.float()
    if tuple(pixels.shape[2:]) != size:
        pixels = functional.interpolate(
            pixels, size=size, mode="bilinear", antialias=True, align_corners=False
        )
    return pixels[0].permute(1, 2, 0)


@POLICIES.member("report")
@dataclass(frozen=True)
class ReportPolicy:
    """The original report's augmentation: Keras' ImageDataGenerator with the report's ranges.

    One random affine transform an image; every amount is drawn uniformly and by itself. Its meaning
    was read from ``keras/src/legacy/preprocessing/image.py`` (Keras 3):

    - rotation and shear are degrees: the report's ``shear_range=0.15`` is a shear of at most 0.15
      degrees, next to nothing;
    - shifts are shares of the image's width and height;
    - ``zoom_range=0.2`` draws a factor from 0.8 to 1.2 for each axis separately;
    - the flip comes after the affine transform, with probability 0.5;
    - the transform is about the centre of the pixel grid, bilinear, the nearest pixel outside.

    On an image that is not square, Keras 3 takes the height for the width in shift and centre; here
    each axis has its own. On square images, as the report's, the two are the same.

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


def affine_matrices(
    *,
    rotation: Tensor,
    shift_x: Tensor,
    shift_y: Tensor,
    shear: Tensor,
    zoom_x: Tensor,
    zoom_y: Tensor,
) -> Tensor:
    """Compose rotation · shift · shear · zoom, the order and meaning of Keras' ImageDataGenerator.

    The matrices map a place in the output to the place in the input that it is taken from, so a
    zoom below 1 enlarges. Places are (x, y), x to the right and y down, counted from the centre.
    With rotation t and shear s::

        [cos t  -sin t]   [1  0  shift_x]   [1  -sin s]   [zoom_x    0   ]
        [sin t   cos t] · [0  1  shift_y] · [0   cos s] · [   0    zoom_y]

    Parameters
    ----------
    rotation, shear
        Radians, shape (B,).
    shift_x, shift_y
        Pixels, shape (B,).
    zoom_x, zoom_y
        Factors, shape (B,).

    Returns
    -------
    Tensor
        Shape (B, 2, 3), of the arguments' dtype.
    """
    cosine, sine = rotation.cos(), rotation.sin()
    # cos t · -sin s - sin t · cos s = -sin(t + s), and likewise below: what shear leaves is a
    # rotation of the second axis by t + s.
    sheared = rotation + shear
    row_x = (zoom_x * cosine, -zoom_y * sheared.sin(), cosine * shift_x - sine * shift_y)
    row_y = (zoom_x * sine, zoom_y * sheared.cos(), sine * shift_x + cosine * shift_y)
    return torch.stack((torch.stack(row_x, 1), torch.stack(row_y, 1)), 1)


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Transform images, with bilinear interpolation and the border repeated outside.

    The same as ``scipy.ndimage.affine_transform(order=1, mode="nearest")`` about the centre.

    Parameters
    ----------
    images
        uint8 or float, shape (B, C, H, W), scale 0 to 255.
    matrices
        Shape (B, 2, 3): output place to input place, (x, y) in pixels from the centre.

    Returns
    -------
    Tensor
        float32, the images' shape, scale 0 to 255, channels last in memory.
    """
    count, _, height, width = images.shape
    device = images.device
    # grid_sample wants places from -1 (centre of the first pixel) to 1 (centre of the last).
    from_x = (matrices[:, 0] * (2 / max(width - 1, 1))).float()  # (B, 3)
    from_y = (matrices[:, 1] * (2 / max(height - 1, 1))).float()
    x = torch.arange(width, device=device) - (width - 1) / 2
    y = torch.arange(height, device=device) - (height - 1) / 2
    places = torch.empty((count, height, width, 2), device=device)
    for axis, row in enumerate((from_x, from_y)):
        along_x = row[:, 0, None] * x  # (B, W)
        along_y = row[:, 1, None] * y + row[:, 2, None]  # (B, H)
        torch.add(along_x[:, None, :], along_y[:, :, None], out=places[..., axis])
    warped = functional.grid_sample(
        images.float(), places, mode="bilinear", padding_mode="border", align_corners=True
    )
    # The four weights add up to 1 within rounding only, which could pass 255 by a hair.
    return warped.clamp_(0, 255).contiguous(memory_format=torch.channels_last)
