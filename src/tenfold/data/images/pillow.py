"""Image files decoded by Pillow, and resized: the header first, then the pixels.

The same code runs in this process and in those that can be ended, so that the pixels are the same.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import ceil
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from tenfold.core.errors import SettingsError
from tenfold.core.records.data import ValueRanges
from tenfold.data.images.deep import DeepImage, check_planes, depth_of, rows_of_bands
from tenfold.data.images.exif import Taken, orientation_of, taken_of
from tenfold.data.images.formats import TooManyPixelsError, UnreadableImageError, why_not_read

LARGE_IMAGE_SIZE_PX = 96
"""Larger images are made as small as this; decision 020 has the measurement."""

_LEAST_DRAFT = 1.25
"""Of the size wanted, that a JPEG is decoded at: nearer to it the pixels differ (decision 032)."""
_SMALL_PIXELS = 128 * 128
"""Of an image that is resized by Lanczos, which costs nothing there; larger ones by bicubic."""
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
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Of a pixel in Pillow's memory; 4 in all other modes."""
CANVAS_BYTES = {"WEBP": 12, "AVIF": 12, "HEIF": 12}
"""Of a pixel, that decoders hold beside Pillow's image."""
_DEEP_COLOUR_BYTES = 14
# Of a DNG and of raw photographs in general: a thumbnail, whose large picture is elsewhere.
_DNG_VERSION, _SUB_FOLDERS, _SUBFILE_TYPE = 50706, 330, 254


Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in px."""
Hold = Callable[[int], AbstractContextManager[None]]
"""Holds so many bytes of memory while something is done; see `SharedMemory`."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file says about its image before its pixels are decoded.

    Parameters
    ----------
    height, width
        In px, after the rotation that EXIF asks for.
    is_gray
        Whether it has no colour: a gray mode, or a palette of grays alone.
    depth
        ``integers`` of more than 8 bits, or ``fractions``; empty for 8 bits.
    taken
        By which camera and when; None where the file does not say.
    """

    height: int
    width: int
    is_gray: bool
    depth: str = ""
    taken: Taken | None = None


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file of a known format.

    Parameters
    ----------
    file
        Open, at any place.
    kind
        Pillow's name of the format.
    may_turn
        Whether it may say that it is to be turned.
    is_progressive
        Whether a JPEG decoder holds all coefficients at once.
    """

    file: BinaryIO
    kind: str
    may_turn: bool = True
    is_progressive: bool = False

    def open(self) -> ImageFile.ImageFile:
        """Open it with Pillow, of whose plugins only this one is asked.

        `PIL.Image.open` has one limit of pixels for the whole process; ours are the caller's.
        """
        Image.init()  # Else formats beyond the commonest are not known yet; does its work once.
        factory, _ = Image.OPEN[self.kind]
        self.file.seek(0)
        image = factory(self.file, "")
        if image.width < 1 or image.height < 1:
            raise UnreadableImageError("it has no pixels")
        _refuse_thumbnail(image)
        return image


def header_of(source: OpenFile) -> ImageHeader:
    """Give what a file says about its image.

    Raises
    ------
    UnreadableImageError
        If it cannot be opened.
    """
    image = source.open()
    check_planes(image)
    width, height = image.size
    depth = depth_of(image)
    is_gray = depth != "" and _is_gray_and_opacity(image)
    taken = None
    if source.may_turn:
        if orientation_of(image) in _QUARTER_TURNS:
            width, height = height, width
        taken = taken_of(image)
    return ImageHeader(height, width, is_gray or _is_gray(image), depth, taken)


def pixels_of(
    source: OpenFile,
    shape: tuple[int, int, int],
    ranges: ValueRanges,
    hold: Hold,
    *,
    is_resized: bool,
    most_pixels: int,
) -> npt.NDArray[np.uint8]:
    """Decode a file; see `tenfold.data.images.decoding.decode_image`."""
    height, width, channels = shape
    image = source.open()
    if image.width * image.height > most_pixels:
        raise TooManyPixelsError(image.width, image.height, most_pixels)
    check_planes(image)
    mode = "L" if channels == 1 else "RGB"
    needed = _bytes_beside(image, source)
    content = _draft(image, max(height, width)) if is_resized else (0, 0, *image.size)
    with hold(needed + _bytes_needed(image, source, mode)):
        picture: Image.Image = image
        if depth_of(image):
            deep = DeepImage(source.open)
            picture, image = deep.to_8_bits(ranges), deep.image
        picture = _to_gray_or_rgb(picture, mode)
        orientation = orientation_of(image) if source.may_turn else 1
        del image
        if is_resized:
            size = (width, height) if orientation in _QUARTER_TURNS else (height, width)
            picture = resize_to_cover(picture, *size, content)
        if orientation in _UNDO:  # Last, for there is little left to turn.
            picture = picture.transpose(_UNDO[orientation])
        return np.asarray(picture, dtype=np.uint8).reshape(shape)


def _draft(image: ImageFile.ImageFile, side: int) -> Box:
    """Have a JPEG decoded at the smallest of 1, 1/2, 1/4, 1/8 that leaves enough for a filter.

    No other format minds.

    Returns
    -------
    Where the picture lies in what is decoded, whose sides are rounded up to whole pixels.
    """
    whole: Box = (0, 0, *image.size)
    least = ceil(_LEAST_DRAFT * side)
    drafted = image.draft(None, (least, least))
    return whole if drafted is None else drafted[1]


def values_of(
    source: OpenFile, quantiles: int, hold: Hold, *, most_pixels: int
) -> npt.NDArray[np.float64]:
    """Measure an image of more than 8 bits; see `DeepImage.measure`."""
    image = source.open()
    if image.width * image.height > most_pixels:
        raise TooManyPixelsError(image.width, image.height, most_pixels)
    check_planes(image)
    with hold(_bytes_needed(image, source, "L")):
        return DeepImage(source.open).measure(quantiles)


def _bytes_beside(image: ImageFile.ImageFile, source: OpenFile) -> int:
    """Give the bytes that a decoder holds of the whole image, however small it is wanted."""
    pixels = image.width * image.height
    if source.is_progressive:
        return pixels * 2 * len(image.getbands())
    return pixels * CANVAS_BYTES.get(source.kind, 0)


def _bytes_needed(image: ImageFile.ImageFile, source: OpenFile, mode: str) -> int:
    stored = _BYTES.get(image.mode, 4)
    target = 1 if mode == "L" else 4
    if depth_of(image) and stored == 4 and image.mode not in ("I", "F"):
        stored = _DEEP_COLOUR_BYTES
    converted = target if image.mode != mode or image.has_transparency_data else 0
    if converted and mode == "L" and image.mode not in _GRAY_MODES:
        converted += 4  # By way of colours.
    return image.width * image.height * (stored + converted + target * source.may_turn)


def _is_gray(image: Image.Image) -> bool:
    if image.mode != "P":
        return image.mode in _GRAY_MODES
    palette = np.array(image.getpalette("RGB") or [0], dtype=np.uint8)
    return palette.size % 3 == 0 and bool((palette[::3] == palette.reshape(-1, 3).T).all())


def _is_gray_and_opacity(image: ImageFile.ImageFile) -> bool:
    arguments = image.tile[0].args if image.tile else ""
    return isinstance(arguments, str) and arguments.startswith("LA;16")


def _to_gray_or_rgb(image: Image.Image, mode: str) -> Image.Image:
    if image.has_transparency_data:
        return _over_white(image, mode)
    if image.mode == mode:
        image.load()
        return image
    if image.mode in ("L", "RGB"):
        return image.convert(mode)
    return image.convert("RGB").convert(mode)


def _over_white(image: Image.Image, mode: str) -> Image.Image:
    """Lay an image over white, band by band: the layers take four times its memory."""
    result = Image.new(mode, image.size)
    for top, bottom in rows_of_bands(image.height, image.width):
        layers = image.crop((0, top, image.width, bottom)).convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        band = Image.alpha_composite(white, layers).convert("RGB").convert(mode)
        result.paste(band, (0, top))
    return result


def _refuse_thumbnail(image: ImageFile.ImageFile) -> None:
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return
    is_thumbnail = _SUB_FOLDERS in tags and int(tags.get(_SUBFILE_TYPE, 0)) & 1
    if _DNG_VERSION in tags or is_thumbnail:
        raise UnreadableImageError(why_not_read("RAW"))


@contextmanager
def reasons() -> Iterator[None]:
    """Turn whatever a damaged file makes Pillow raise into a reason for people."""
    try:
        yield
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image of a known format, or empty") from error
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


def resize_to_cover(
    image: Image.Image, height: int, width: int, content: Box | None = None
) -> Image.Image:
    """Give `image` scaled so that it just covers a rectangle, and the centre cut out of it.

    Filtered over the source's full area, so shrinking does not alias.

    Parameters
    ----------
    image
        Mode L or RGB.
    height, width
        Of the result, in px.
    content
        Where the picture lies in it; None for everywhere.
    """
    if image.size == (width, height) and content in (None, (0, 0, width, height)):
        return image
    first, upper, last, lower = content or (0, 0, *image.size)
    full_width, full_height = last - first, lower - upper
    used_width = min(full_width, full_height * width / height)
    used_height = min(full_height, full_width * height / width)
    left = first + (full_width - used_width) / 2
    top = upper + (full_height - used_height) / 2
    is_small = image.width * image.height <= _SMALL_PIXELS
    return image.resize(
        (width, height),
        Image.Resampling.LANCZOS if is_small else Image.Resampling.BICUBIC,
        box=(left, top, left + used_width, top + used_height),
        # A fast whole-number reduction first; 3 is indistinguishable from none (Pillow's manual).
        reducing_gap=3.0,
    )


def resize_images(images: npt.NDArray[np.uint8], size_px: int) -> npt.NDArray[np.uint8]:
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
        result[row] = np.asarray(resize_to_cover(image, size_px, size_px)).reshape(result.shape[1:])
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
