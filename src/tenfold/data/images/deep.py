"""Images of more than 8 bits a value, and the range that all of them are read with.

Pillow gives the upper byte alone of 16-bit colours, which is black where 12 bits are used. The
lower byte comes from a second look at the same file with the bytes swapped.

A file of 16 bits rarely holds numbers up to 65,535: X-rays have 12 bits, thermal cameras a narrow
band far from zero. Scaled from 0 to 65,535, the first are 17 shades of near black and the second a
handful. So the training images are measured, once, and their range holds for every image after:

1. The fewest bits that hold the largest value, from 0: a fact of the device, and the brightness
   stays what it was. Taken if the middle 99% of the values spread over a quarter of it, which
   leaves 64 shades or more.
2. Else the smallest to the largest value, by the same rule.
3. Else the middle 99%: a few values far away (hot pixels, letters burnt in) would take nearly all
   shades for themselves.

Every image counts the same, whatever its size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from tenfold.core.records.data import FULL_16_BITS, ValueRange, ValueRanges
from tenfold.data.images.formats import UnreadableImageError

BAND_PIXELS = 2**20
"""Pixels that are worked on at one time: what bounds the memory beside the image itself."""
MEASURED_PIXELS = 2**16
"""Values of an image that its quantiles are of."""
_LEAST_SHARE = 0.25  # Of the range that the middle of the values must spread over.
_TAIL = 0.005  # Of the values, below the middle and above it.
_MOST_QUANTILES, _LEAST_QUANTILES = 1024, 16
_MOST_NUMBERS = 2**21  # Of all images together: 16 MiB.

Opener = Callable[[], ImageFile.ImageFile]
Values = npt.NDArray[Any]
Rule = Literal["bits", "extent", "middle"]

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


@dataclass(frozen=True, eq=False)
class Measured:
    """One training image.

    Parameters
    ----------
    depth
        ``integers`` or ``fractions``.
    values
        float64: smallest, largest, and evenly spaced quantiles.
    """

    depth: str
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class FoundRanges:
    """The ranges, and by which rule each was found.

    Parameters
    ----------
    ranges
        To scale by.
    rules
        By depth.
    """

    ranges: ValueRanges
    rules: dict[str, Rule]


def quantiles_for(images: int) -> int:
    """Give how many quantiles of each image are kept, so that all fit into a steady memory."""
    return min(_MOST_QUANTILES, max(_LEAST_QUANTILES, _MOST_NUMBERS // max(1, images)))


def find_ranges(measured: Sequence[Measured]) -> FoundRanges:
    """Find the ranges that training images use; see the module for the rules."""
    found: dict[str, ValueRange] = {}
    rules: dict[str, Rule] = {}
    for depth in ("integers", "fractions"):
        values = [one.values for one in measured if one.depth == depth]
        if values:
            table = np.stack(values)
            found[depth], rules[depth] = _find(table, is_whole=depth == "integers")
    return FoundRanges(ValueRanges(**found), rules)


def range_note(found: FoundRanges, depths: Sequence[str], images: int) -> Iterator[str]:
    """Say for people which ranges were found, one sentence or two for each.

    Parameters
    ----------
    found
        From `find_ranges`.
    depths
        Of all images that have more than 8 bits.
    images
        That there are, those of 8 bits included.
    """
    kinds = {"integers": "more than 8 bits", "fractions": "floating point numbers"}
    for depth, rule in found.rules.items():
        used = getattr(found.ranges, depth)
        count = depths.count(depth)
        how = {
            "bits": "the fewest bits that hold all values",
            "extent": "the smallest and the largest value",
            "middle": "the middle 99% of all values; what lies outside becomes black or white",
        }[rule]
        yield (
            f"{count:,} of {images:,} images have {kinds[depth]}. In the training images they use "
            f"{used.low:,.6g} to {used.high:,.6g} ({how}): this range is scaled to 0 to 255, here "
            "and in every later prediction."
        )
    if found.rules and len(depths) < images:
        yield (
            f"The other {images - len(depths):,} images have 8 bits, which are taken as they are."
        )


def _find(table: npt.NDArray[np.float64], *, is_whole: bool) -> tuple[ValueRange, Rule]:
    least, most = float(table[:, 0].min()), float(table[:, 1].max())
    low, high = np.quantile(table[:, 2:], (_TAIL, 1 - _TAIL)).tolist()
    full = _full_range(least, most, is_whole=is_whole)
    if high - low >= _LEAST_SHARE * (full.high - full.low):
        return full, "extent" if least < 0 else "bits"
    if high - low >= _LEAST_SHARE * (most - least) or high <= low:
        return _range(least, most), "extent"
    if is_whole:
        low, high = float(np.floor(low)), float(np.ceil(high))
    return _range(low, high), "middle"


def _full_range(least: float, most: float, *, is_whole: bool) -> ValueRange:
    if least < 0:
        return _range(least, most)
    if not is_whole and most <= 1:
        return ValueRange(low=0, high=1)
    return bits_range(np.ceil(most))


def _range(low: float, high: float) -> ValueRange:
    """Give a range that is one, of a single value too."""
    return ValueRange(low=low, high=high if high > low else low + 1)
