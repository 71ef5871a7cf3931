"""Which range of numbers a data set uses, where its files have more than 8 bits.

A file of 16 bits rarely holds numbers up to 65,535: X-rays have 12 bits, thermal cameras a narrow
band far from zero. Scaled from 0 to 65,535, the first are 17 shades of near black and the second a
handful. So the training images are measured, once, and their range holds for every image after.

1. The fewest bits that hold the largest value, from 0: a fact of the device, and the brightness
   stays what it was. Taken if the middle 99% of the values spread over a quarter of it, which
   leaves 64 shades or more.
2. Else the smallest to the largest value, by the same rule.
3. Else the middle 99%: a few values far away (hot pixels, letters burnt in) would take nearly all
   shades for themselves.

Every image counts the same, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.records.data import ValueRange, ValueRanges
from tenfold.sources.deep_images import bits_range

_TAIL = 0.005
_LEAST_SHARE = 0.25
_MOST_QUANTILES, _LEAST_QUANTILES = 1024, 16
_MOST_NUMBERS = 2**21  # Of all images together: 16 MiB.

Rule = Literal["bits", "extent", "middle"]


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
