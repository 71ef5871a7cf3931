"""What people hand over as images, as one array of bytes; or what to write instead.

What arrived is an array already, see `tenfold.data.given_arrays`; here its shape and its values are
checked, in the same manner.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.data.dataset import Images
from tenfold.data.given_arrays import EXPECTED, PATHS_ADVICE, GivenArray, read_array

_WHITE = 255
_CHANNELS = (1, 3)
_BIT_DEPTHS = (10, 12, 14, 16)
"""Of cameras, scanners and medical images beyond the usual 8."""
_OVERSHOOT = 0.1
"""Beyond the ends of a range, as a share of it: what scaling with ringing filters leaves."""
_MOST_STANDARD_DEVIATIONS = 20
"""Whole range of values that can be standardised images; on the scale 0 to 255 it is dark."""

_ALPHA_CHANNELS = {2: 1, 4: 3}
"""Channels with transparency, and those without."""


def as_images(given: Any, image_shape: tuple[int, int, int] | None = None) -> Images:
    """Check images and give them as bytes.

    Parameters
    ----------
    given
        An array, a tensor, or a list of arrays or Pillow images of one size: shape (N, H, W, C),
        C being 1 or 3, or (N, H, W); whole numbers from 0 to 255 of any type.
    image_shape
        Height, width and channels that are wanted, for better advice; they are not checked.

    Returns
    -------
    array of shape (N, H, W, C)
        uint8, in C order; the given memory where that is possible.

    Raises
    ------
    DataError
        Says what arrived, what is wrong with it, and what to write.
    """
    found = _in_bytes(_arranged(read_array(given), image_shape))
    if found.problems:
        raise DataError(f"{' '.join(found.problems)} Write: X = {found.code}")
    # torch knows no negative strides.
    return np.ascontiguousarray(found.array)


def _arranged(given: GivenArray, image_shape: tuple[int, int, int] | None) -> GivenArray:
    """Give four dimensions, with the channels last."""
    array, code = given.array, given.code
    problem = f"{EXPECTED}; received shape {array.shape}"
    if array.ndim >= 2 and 0 in array.shape:
        raise DataError(f"{problem}.")
    if array.ndim == 4:
        return _with_channels_last(given, problem)
    if array.ndim == 3:
        return _of_three_dimensions(given, problem, image_shape)
    if array.ndim == 2:
        return _from_rows(given, problem, image_shape)
    if array.ndim < 2:
        if array.dtype.kind in "SUT" and array.size:
            raise DataError(f"{problem} of text. {PATHS_ADVICE}")
        raise DataError(f"{problem}. Reshape your data: X.reshape(-1, height, width, channels).")
    ones = [axis for axis, size in enumerate(array.shape) if size == 1]
    if array.ndim == 5 and ones and (ones[0] < 4 or array.shape[3] in _CHANNELS):
        step = GivenArray(array.squeeze(ones[0]), f"{code}.squeeze({ones[0]})")
        step = step.amended(f"{problem}: one axis too many.", step.array, step.code)
        return _with_channels_last(step, problem)
    raise DataError(
        f"{problem}: {array.ndim - 4} axes too many. An image of several pictures (a film, a "
        "volume) is no image here: give each picture as an image with a label."
    )


def _with_channels_last(given: GivenArray, problem: str) -> GivenArray:
    array, code = given.array, given.code
    _, first, third, last = array.shape
    if last in _CHANNELS:
        return given
    moved = array.transpose(0, 2, 3, 1), f"{code}.transpose(0, 2, 3, 1)"
    if first in _CHANNELS:
        return given.amended(f"{problem}: the channels come first.", *moved)
    if last in _ALPHA_CHANNELS:
        kept = _ALPHA_CHANNELS[last]
        text = f"{problem}: the last channel seems to be transparency, which is not used."
        return given.amended(text, array[..., :kept], f"{code}[..., :{kept}]")
    if first in _ALPHA_CHANNELS:
        kept = _ALPHA_CHANNELS[first]
        text = f"{problem}: the channels come first, and their last seems to be transparency."
        moved = array[:, :kept].transpose(0, 2, 3, 1), f"{code}[:, :{kept}].transpose(0, 2, 3, 1)"
        return given.amended(text, *moved)
    if third in _CHANNELS:
        text = f"{problem}: the number of images comes last."
        return given.amended(text, array.transpose(3, 0, 1, 2), f"{code}.transpose(3, 0, 1, 2)")
    raise DataError(
        f"{problem}. Choose one channel or three: X[..., [0, 1, 2]] takes the first three, if the "
        "channels are the last axis."
    )


def _of_three_dimensions(
    given: GivenArray, problem: str, image_shape: tuple[int, int, int] | None
) -> GivenArray:
    """Take gray images without an axis of channels; one image alone looks the same."""
    array, code = given.array, given.code
    _, height, width = array.shape
    one = f"{problem}: that looks like one image."
    if image_shape is not None and image_shape[2] == 3:
        if array.shape == image_shape:
            return given.amended(one, array[None], f"{code}[None]")
        if array.shape == (image_shape[2], *image_shape[:2]):
            moved = array.transpose(1, 2, 0)[None]
            return given.amended(one, moved, f"{code}.transpose(1, 2, 0)[None]")
    if width in (*_CHANNELS, *_ALPHA_CHANNELS) and height != width:
        kept = _ALPHA_CHANNELS.get(width, width)
        if image_shape is not None and (height, width) == image_shape[:2]:
            return GivenArray(array[..., None], f"{code}[..., None]")
        one += f" (For gray images that are {width} pixels wide, write X[..., None].)"
        part = "" if kept == width else f"[..., :{kept}]"
        return given.amended(one, array[..., :kept][None], f"{code}{part}[None]")
    return GivenArray(array[..., None], code)


def _from_rows(
    given: GivenArray, problem: str, image_shape: tuple[int, int, int] | None
) -> GivenArray:
    """Advise on a row of numbers an image."""
    array, code = given.array, given.code
    count = array.shape[1]
    advice = f"{problem}. Reshape your data"
    if image_shape is not None:
        height, width, channels = image_shape
        if channels == 1 and array.shape == (height, width):
            return given.amended(f"{problem}: that is one image.", array[None], f"{code}[None]")
        is_known = count == height * width * channels
    else:
        is_known, channels = False, 3
        for channels in _CHANNELS:
            height = width = math.isqrt(count // channels)
            if height > 1 and height * width * channels == count:
                is_known = True
                break
    if not is_known:
        raise DataError(
            f"{advice}: X.reshape(-1, height, width, channels), or, where all of one channel "
            "comes before the next, X.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)."
        )
    if channels == 1:
        shaped = array.reshape(-1, height, width)
        text = f"{advice}: these may be images of {height} × {width} pixels."
        return given.amended(text, shaped[..., None], f"{code}.reshape(-1, {height}, {width})")
    raise DataError(
        f"{advice}: {code}.reshape(-1, {height}, {width}, 3) if the three channels of a pixel "
        f"stand side by side, {code}.reshape(-1, 3, {height}, {width}).transpose(0, 2, 3, 1) if "
        "all red values come first, as in CIFAR-10's own files."
    )


def _in_bytes(given: GivenArray) -> GivenArray:
    """Give whole numbers from 0 to 255 as uint8."""
    array, code = given.array, given.code
    if array.dtype == np.uint8:
        return given
    problem = f"Expected images of numbers from 0 to 255, received {array.dtype}"
    if array.dtype == np.bool_:
        scaled = array.astype(np.uint8) * _WHITE
        return given.amended(f"{problem}.", scaled, f"{code}.astype('uint8') * 255")
    if array.dtype.kind == "c":
        raise DataError(
            f"{problem}. Complex data not supported: give one real number a channel, such as the "
            "magnitude on the scale 0 to 255."
        )
    if array.dtype.kind not in "iuf":
        raise DataError(f"{problem}. Give an array of numbers.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        _refuse_missing_pixels(array, code)
    low, high = float(array.min()), float(array.max())
    is_fractions = array.dtype.kind == "f" and low >= 0 and high == 1
    is_whole = array.dtype.kind != "f" or bool((array == np.round(array)).all())
    if is_whole and low >= 0 and high <= _WHITE and not is_fractions:
        pixels = array.astype(np.uint8)
        return GivenArray(
            pixels, f"{code}.astype('uint8')" if given.problems else code, given.problems
        )
    text = (
        f"Expected whole numbers from 0 to 255 (uint8), received values from {low:g} to {high:g} "
        f"of type {array.dtype}."
    )
    return _scaled(" ".join((*given.problems, text)), array, code, low, high)


def _refuse_missing_pixels(array: npt.NDArray[Any], code: str) -> NoReturn:
    is_good = np.isfinite(array).all(axis=(1, 2, 3))
    name = "NaN" if np.isnan(array).any() else "infinity"
    text = (
        f"Expected whole numbers from 0 to 255 (uint8); {int((~is_good).sum()):,} of "
        f"{len(array):,} images contain {name} (no number)."
    )
    if not is_good.any():
        raise DataError(f"{text} Find out where it comes from, and give every pixel a number.")
    raise DataError(
        f"{text} Leave these images out, with their labels. Write: keep = np.isfinite({code})"
        ".reshape(len(X), -1).all(axis=1); X, y = "
        f"{code}[keep], np.asarray(y)[keep]"
    )


def _scaled(text: str, array: npt.NDArray[Any], code: str, low: float, high: float) -> GivenArray:
    """Say what the values may mean, and what to write then."""
    meaning = None if array.dtype.kind != "f" else _meaning_of_fractions(text, code, low, high)
    if meaning is None:
        meaning = _meaning_of_large_numbers(text, array.dtype, code, low, high)
    # Values are the last that is checked, so the array itself has no reader.
    return GivenArray(array, meaning[1], (f"{text} {meaning[0]}",))


def _meaning_of_fractions(text: str, code: str, low: float, high: float) -> tuple[str, str] | None:
    """Give what floating-point values on a usual scale may mean, and what to write."""
    over = _OVERSHOOT
    if low >= 0 and high <= 1:
        return "Scale them, if they are from 0 to 1.", f"({code} * 255).round().astype('uint8')"
    if low > -over and high < 1 + over:
        return (
            "Scale them, if they are from 0 to 1 with some overshoot.",
            f"(np.clip({code}, 0, 1) * 255).round().astype('uint8')",
        )
    if -1 - over < low < 0 and high < 1 + over:
        inner = code if low >= -1 and high <= 1 else f"np.clip({code}, -1, 1)"
        return (
            "Scale them, if they are from -1 to 1.",
            f"(({inner} + 1) * 127.5).round().astype('uint8')",
        )
    if low < 0 and high - low < _MOST_STANDARD_DEVIATIONS:
        raise DataError(
            f"{text} They seem to be normalised: give the images as they were before, multiplied "
            "by the standard deviation and with the mean added."
        )
    if low >= 0 and high <= _WHITE:
        return "Round them.", f"{code}.round().astype('uint8')"
    if low > -over * _WHITE and high < (1 + over) * _WHITE:
        return "Cut off what is beyond.", f"np.clip({code}, 0, 255).round().astype('uint8')"
    return None


def _meaning_of_large_numbers(
    text: str, dtype: np.dtype[Any], code: str, low: float, high: float
) -> tuple[str, str]:
    """Give what values beyond 0 to 255 may mean, and what to write."""
    if dtype == np.int8:
        raise DataError(
            f"{text} If pixels from 0 to 255 were cast to int8, {code}.view('uint8') gives them "
            f"back; if 128 was subtracted, ({code}.astype('int16') + 128).astype('uint8')."
        )
    if low >= 0:
        base = code if dtype.kind in "iu" else f"{code}.astype('float64')"
        depth = next((bits for bits in _BIT_DEPTHS if high < 2**bits), None)
        most = f"{high:.17g}" if depth is None else str(2**depth - 1)
        bits = "" if depth is None else f" ({depth} bits)"
        return (
            f"Scale them, the same for all your images; if at most {most}{bits} can occur:",
            f"({base} / {most} * 255).round().astype('uint8')",
        )
    scaled = f"({code}.astype('float64') - {low!r}) / {high - low!r} * 255"
    return (
        f"Scale them, the same for all your images; if {low:g} is black and {high:g} white:",
        f"({scaled}).round().astype('uint8')",
    )
