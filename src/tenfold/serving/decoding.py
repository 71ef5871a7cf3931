"""The bytes that a client sent to the pixels that the network takes, or the reason why not."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

from tenfold.serving.refusal import Refusal
from tenfold.sources.image_decoding import (
    TooManyPixelsError,
    UnreadableImageError,
    decode_image,
)


def decode_upload(
    content: bytes, image_shape: tuple[int, int, int], *, most_pixels: int
) -> npt.NDArray[np.uint8]:
    """Decode an image as the data set's own images are decoded.

    Parameters
    ----------
    content
        An image file's bytes.
    image_shape
        Height, width and channels that the network takes.
    most_pixels
        Of the image in the file; its header is asked before anything is unpacked.

    Raises
    ------
    Refusal
        413 if it has too many pixels, 422 if it cannot be read.
    """
    if not content:
        raise Refusal(422, "empty", "The image is empty: 0 bytes were received.")
    try:
        return decode_image(
            io.BytesIO(content), image_shape, is_resized=True, most_pixels=most_pixels
        )
    except TooManyPixelsError as error:
        raise Refusal(
            413,
            "too_many_pixels",
            f"The image has {error.width:,} × {error.height:,} pixels; up to "
            f"{most_pixels / 1e6:g} million are taken. Send a smaller one.",
        ) from error
    except UnreadableImageError as error:
        raise Refusal(
            422,
            "unreadable",
            f"The image cannot be read: {error}. PNG, JPEG, WebP, GIF, BMP, TIFF and PPM are "
            "taken.",
        ) from error
    except MemoryError:
        raise Refusal(
            503, "busy", "There is no memory for this image at the moment. Try again later."
        ) from None
