"""One image file to the pixels of one row: the same for training data and for prediction."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from tenfold.sources.resizing import resize_to_cover

# Only these of Pillow's formats are tried, whatever a file's name says: some others start programs
# (EPS runs Ghostscript) or are rarely tested against damaged files.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM")
_ORIENTATION_TAG = 0x0112
# What undoes each EXIF orientation; 1 is upright (Exif 2.32, tag Orientation).
_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = (5, 6, 7, 8)  # These swap height and width.
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")


class UnreadableImageError(Exception):
    """Why an image file cannot be used; caught by whoever decodes many."""


class TooManyPixelsError(UnreadableImageError):
    """An image has more pixels than the caller wants to unpack."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(f"it has {width:,} × {height:,} pixels")
        self.width = width
        self.height = height


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file says about its image before its pixels are decoded.

    Parameters
    ----------
    height, width
        In px, after the rotation that EXIF asks for.
    is_gray
        Whether it has no colour: a gray mode, or a palette of grays alone.
    """

    height: int
    width: int
    is_gray: bool


def read_header(file: Path | BinaryIO) -> ImageHeader:
    """Give an image's size and whether it is gray.

    Raises
    ------
    UnreadableImageError
        If it is no image, is too large, or cannot be opened.
    """
    with _reasons(), _open(file) as image:
        width, height = image.size
        if _orientation(image) in _QUARTER_TURNS:
            width, height = height, width
        return ImageHeader(height, width, _is_gray(image))


def decode_image(
    file: Path | BinaryIO,
    shape: tuple[int, int, int],
    *,
    is_resized: bool,
    most_pixels: int | None = None,
) -> npt.NDArray[np.uint8]:
    """Give an image's pixels.

    The first frame of an animation; turned as EXIF says; transparency laid over white; 16-bit gray
    scaled to 8 bits; CMYK and palettes turned into colours.

    Parameters
    ----------
    file
        The image: its path, or an open file.
    shape
        Height, width and channels (1 or 3) wanted.
    is_resized
        Whether to scale to `shape` where the image has another size.
    most_pixels
        Asked of the image's header, before anything is unpacked; None for Pillow's own limit alone.

    Returns
    -------
    uint8 of `shape`.

    Raises
    ------
    UnreadableImageError
        If it cannot be decoded whole; `TooManyPixelsError` if it is larger than `most_pixels`.
    """
    height, width, channels = shape
    with _reasons(), _open(file) as image:
        if most_pixels is not None and image.width * image.height > most_pixels:
            raise TooManyPixelsError(image.width, image.height)
        if is_resized:
            # A JPEG decodes at half, quarter or eighth size for less; twice the size is left over
            # for a good filter. No other format minds.
            image.draft(None, (2 * width, 2 * height))
        picture = _to_gray_or_rgb(image, "L" if channels == 1 else "RGB")
        if (turn := _UNDO.get(_orientation(image))) is not None:
            picture = picture.transpose(turn)
        if is_resized and picture.size != (width, height):
            picture = resize_to_cover(picture, height, width)
        return np.asarray(picture, dtype=np.uint8).reshape(shape)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Make Pillow's bomb warning an error and drop its other warnings, in all threads.

    Python's warning filters belong to the whole process, so this goes around the threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _open(file: Path | BinaryIO) -> Image.Image:
    Image.init()  # Else formats beyond the commonest are not known yet; does its work once.
    return Image.open(file, formats=FORMATS)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # Damaged EXIF raises anything, and is no reason to lose the image.
        return 1


def _is_gray(image: Image.Image) -> bool:
    if image.mode != "P":
        return image.mode in _GRAY_MODES
    palette = np.array(image.getpalette("RGB") or [0], dtype=np.uint8)
    return palette.size % 3 == 0 and bool((palette[::3] == palette.reshape(-1, 3).T).all())


def _to_gray_or_rgb(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "F":
        raise UnreadableImageError("its pixels are fractions of unknown range")
    if image.mode == "I" or image.mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.int64)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise UnreadableImageError("its pixels have more than 16 bits")
        # 257 takes 65535 to 255; clipping, as Pillow's own conversion does, would give white.
        return Image.fromarray(((pixels + 128) // 257).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        return Image.alpha_composite(white, layers).convert("RGB").convert(mode)
    if image.mode in ("L", "RGB"):
        return image.convert(mode)
    return image.convert("RGB").convert(mode)


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever a damaged file makes Pillow raise into a reason for people."""
    try:
        yield
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image of a known format, or empty") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise UnreadableImageError(
            f"it has more than {limit / 1e6:.0f} million pixels, as files made to exhaust the "
            "memory do"
        ) from error
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise  # Our own trouble, not the file's.
        raise UnreadableImageError(error.strerror or str(error) or "truncated") from error
    except MemoryError:
        raise
    except Exception as error:  # Damaged files make decoders raise nearly anything.
        raise UnreadableImageError(
            f"damaged ({type(error).__name__}: {str(error)[:100]})"
        ) from error
