"""Images with more than 8 bits a value: their numbers, all of them, band by band.

Pillow gives the upper byte alone of 16-bit colours, which is black where 12 bits are used. The
lower byte comes from a second look at the same file with the bytes swapped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from tenfold.core.records.data import FULL_16_BITS, ValueRange, ValueRanges
from tenfold.sources.decoding_errors import UnreadableImageError

BAND_PIXELS = 2**20
"""Pixels that are worked on at one time: what bounds the memory beside the image itself."""

MEASURED_PIXELS = 2**16
"""Values of an image that its quantiles are of."""

Opener = Callable[[], ImageFile.ImageFile]
Values = npt.NDArray[Any]

_COLOUR_MODES = ("RGB", "RGBA", "RGBX")
_NATIVE_SWAPPED = ";16B" if sys.byteorder == "little" else ";16L"
_SWAPPED = {";16B": ";16L", ";16L": ";16B", ";16N": _NATIVE_SWAPPED}


def depth_of(image: ImageFile.ImageFile) -> str:
    """Say what an opened image's values are: ``integers`` or ``fractions``; empty for 8 bits."""
    if image.mode == "F":
        return "fractions"
    if image.mode == "I" or image.mode.startswith("I;16"):
        return "integers"
    return "integers" if image.mode in _COLOUR_MODES and ";16" in _raw_mode(image) else ""


def check_planes(image: ImageFile.ImageFile) -> None:
    """Refuse what Pillow reads wrongly without a word: 16-bit colours in planes of their own."""
    tags = getattr(image, "tag_v2", None)
    if tags is not None and tags.get(284) == 2 and max(tags.get(258, (8,))) > 8:
        raise UnreadableImageError(
            "a TIFF whose 16-bit colours lie in separate planes is not read: save it with "
            "interleaved colours"
        )


def rows_of_bands(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Give (first, last + 1) row of each band of an image."""
    step = max(1, BAND_PIXELS // max(1, width))
    for top in range(0, height, step):
        yield top, min(top + step, height)


class DeepImage:
    """The values of an image with more than 8 bits.

    Parameters
    ----------
    open_image
        Opens the file anew.

    Attributes
    ----------
    image
        As Pillow opened it.
    depth
        See `depth_of`.
    width, height
        In px.
    """

    def __init__(self, open_image: Opener) -> None:
        self.image = open_image()
        self.depth = depth_of(self.image)
        self.width, self.height = self.image.size
        raw = _raw_mode(self.image)
        self._low_bytes: ImageFile.ImageFile | None = None
        self._gives_both = raw.startswith("LA;16")
        if self._gives_both:
            # Four bytes a pixel: as if they were colours, all of them come at once.
            _read_as(self.image, "RGBA")
        elif self.image.mode in _COLOUR_MODES:
            ending = raw[raw.index(";16") :]
            if ending not in _SWAPPED:
                raise UnreadableImageError("its 16-bit colours are stored in an unusual way")
            self.image.load()  # Both read the same file, so one after the other.
            self._low_bytes = open_image()
            _read_as(self._low_bytes, raw.replace(ending, _SWAPPED[ending]))

    def bands(self) -> Iterator[tuple[Values, npt.NDArray[np.uint8] | None]]:
        """Give values (rows, W, 1 or 3) and opacity (rows, W) from top to bottom."""
        for top, bottom in rows_of_bands(self.height, self.width):
            box = (0, top, self.width, bottom)
            high = np.asarray(self.image.crop(box))
            if self._gives_both:
                pairs = high.astype(np.uint16)
                yield (pairs[..., :1] << 8) | pairs[..., 1:2], high[..., 2]
            elif self._low_bytes is not None:
                low = np.asarray(self._low_bytes.crop(box))
                values = (high[..., :3].astype(np.uint16) << 8) | low[..., :3]
                yield values, high[..., 3] if self.image.mode == "RGBA" else None
            else:
                yield high.reshape(bottom - top, self.width, 1), None

    def to_8_bits(self, ranges: ValueRanges) -> Image.Image:
        """Give the image with 8 bits: mode L or RGB, or RGBA if something shines through.

        Raises
        ------
        UnreadableImageError
            If it holds numbers whose range is not known.
        """
        used = self._range(ranges)
        pixels: npt.NDArray[np.uint8] | None = None
        top = 0
        for values, alpha in self.bands():
            rows = _scaled(values, used)
            if alpha is not None:
                rows = np.dstack([np.broadcast_to(rows, (*alpha.shape, 3)), alpha])
            if pixels is None:
                pixels = np.empty((self.height, *rows.shape[1:]), np.uint8)
            pixels[top : top + len(rows)] = rows
            top += len(rows)
        assert pixels is not None
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)

    def measure(self, quantiles: int) -> npt.NDArray[np.float64]:
        """Give the smallest and the largest value, and so many quantiles; shape (2 + quantiles,).

        The quantiles are those of values evenly spread over the image.

        Raises
        ------
        UnreadableImageError
            If nothing in it is a number.
        """
        step = max(1, self.width * self.height // MEASURED_PIXELS)
        least, most, offset = np.inf, -np.inf, 0
        taken: list[Values] = []
        for values, _ in self.bands():
            finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
            if finite.size:
                least, most = min(least, float(finite.min())), max(most, float(finite.max()))
            pixels = values.reshape(-1, values.shape[2])
            taken.append(pixels[-offset % step :: step].ravel())
            offset += len(pixels)
        sample = np.concatenate(taken).astype(np.float64)
        sample = sample[np.isfinite(sample)]
        if not np.isfinite(least):
            raise UnreadableImageError("its pixels are no numbers (NaN)")
        if not sample.size:
            sample = np.array([least, most])
        places = (np.arange(quantiles) + 0.5) / quantiles
        return np.concatenate([[least, most], np.quantile(sample, places)])

    def _range(self, ranges: ValueRanges) -> ValueRange:
        known = ranges.fractions if self.depth == "fractions" else ranges.integers
        if known is not None:
            return known
        if self.depth == "fractions":
            raise UnreadableImageError("its pixels are fractions of unknown range")
        extent = self.measure(1)
        if extent[0] < 0 or extent[1] > FULL_16_BITS.high:
            raise UnreadableImageError("its pixels have more than 16 bits")
        return bits_range(extent[1])


def bits_range(most: float) -> ValueRange:
    """Give the range of the fewest bits, at least 8, that hold a whole number."""
    return ValueRange(low=0, high=2 ** max(8, int(most).bit_length()) - 1)


def _scaled(values: Values, used: ValueRange) -> npt.NDArray[np.uint8]:
    if values.dtype.kind == "f":
        span = used.high - used.low
        with np.errstate(invalid="ignore"):
            clipped = np.clip(values.astype(np.float64), used.low, used.high)
        # What is no number is black, as where nothing was measured.
        clipped = np.nan_to_num(clipped, nan=used.low)
        return np.floor((clipped - used.low) / span * 255 + 0.5).astype(np.uint8)
    low, high = int(used.low), int(np.ceil(used.high))
    clipped = np.clip(values.astype(np.int64), low, high)
    # Rounded, halves upwards; 65535 to 255 this is a division by 257.
    span = high - low
    return ((510 * (clipped - low) + span) // (2 * span)).astype(np.uint8)


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Give how Pillow's decoder is told that the values lie in the file."""
    if not image.tile:
        return ""
    arguments = image.tile[0].args
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _read_as(image: ImageFile.ImageFile, raw_mode: str) -> None:
    def changed(arguments: Any) -> Any:
        return (raw_mode, *arguments[1:]) if isinstance(arguments, tuple) else raw_mode

    image.tile = [tile._replace(args=changed(tile.args)) for tile in image.tile]
