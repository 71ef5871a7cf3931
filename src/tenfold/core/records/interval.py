"""An interval around an estimate."""

from __future__ import annotations

from tenfold.core.records.record import Record


class Interval(Record):
    """The ends of an interval; its level and method stand in the record that holds it."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Say whether `value` lies in the interval, its ends included."""
        return self.low <= value <= self.high
