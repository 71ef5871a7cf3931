"""Bring images to one size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tenfold.core.errors import SettingsError
from tenfold.data.dataset import Images


def resize_to_square(image: Image.Image, size_px: int) -> Image.Image:
    """Give `image` scaled so that its shorter side is `size_px`, and the centre cut out of it."""
    return resize_to_cover(image, size_px, size_px)


def resize_to_cover(image: Image.Image, height: int, width: int) -> Image.Image:
    """Give `image` scaled so that it just covers a rectangle, and the centre cut out of it.

    Lanczos filtering over the source's full area, so shrinking does not alias.

    Parameters
    ----------
    image
        Mode L or RGB.
    height, width
        Of the result, in px.
    """
    full_width, full_height = image.size
    used_width = min(full_width, full_height * width / height)
    used_height = min(full_height, full_width * height / width)
    left, top = (full_width - used_width) / 2, (full_height - used_height) / 2
    return image.resize(
        (width, height),
        Image.Resampling.LANCZOS,
        box=(left, top, left + used_width, top + used_height),
        # A fast whole-number reduction first; 3 is indistinguishable from none (Pillow's manual).
        reducing_gap=3.0,
    )


def resize_images(images: Images, size_px: int) -> Images:
    """Give a data set's images in another size.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C), C 1 or 3.
    size_px
        Height and width of the result.

    Returns
    -------
    uint8, shape (N, size_px, size_px, C).

    Raises
    ------
    SettingsError
        If `size_px` is not positive.
    """
    check_image_size(size_px)
    count, _, _, channels = images.shape
    result = np.empty((count, size_px, size_px, channels), dtype=np.uint8)
    for row, pixels in enumerate(images):
        image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
        result[row] = np.asarray(resize_to_square(image, size_px)).reshape(result.shape[1:])
    return result


def check_image_size(size_px: int) -> None:
    """Check that `size_px` can be an image's side.

    Raises
    ------
    SettingsError
        If it is not positive.
    """
    if size_px < 1:
        raise SettingsError(f"image_size_px is {size_px}; it must be at least 1, for example 32.")
