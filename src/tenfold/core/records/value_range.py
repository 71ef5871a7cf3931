"""Which numbers in image files are black and white, where these are not those of 8 bits."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from tenfold.core.records.record import Record


class ValueRange(Record):
    """The value that becomes 0 and the one that becomes 255; what lies outside is clipped."""

    low: float
    high: float

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError("the high value is not above the low one")
        return self


class ValueRanges(Record):
    """What a data set's training images really use, found once and the same ever after.

    How they are found: `tenfold.sources.value_ranges`.
    """

    integers: ValueRange | None = None
    """Of files with more than 8 bits; None where the training images have none. Then a file's own
    range counts: the fewest bits, at least 8, that hold its largest value."""
    fractions: ValueRange | None = None
    """Of files with floating point numbers; None where the training images have none, and then such
    a file cannot be read."""


FULL_16_BITS = ValueRange(low=0, high=65535)
BEFORE_THEY_WERE_FOUND = ValueRanges(integers=FULL_16_BITS)
"""How everything was read before ranges were recorded."""
