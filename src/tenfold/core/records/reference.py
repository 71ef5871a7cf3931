"""Published values that a recipe sets out to reproduce."""

from __future__ import annotations

from tenfold.core.records.record import Record

ReferenceValue = float | str | tuple[float, ...]


class Reference(Record):
    """One figure of the original and where ours is found."""

    label: str
    """What it is, for people: "Test accuracy"."""
    measure: str
    """Name of our measure, for example ``evaluate.accuracy``; `reporting.measures` lists them."""
    value: ReferenceValue
    where: str = ""
    """Where the original states it: "Table 2"."""
    note: str = ""
    """What a reader must know to compare the two."""
