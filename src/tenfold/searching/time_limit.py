"""The time of a search: counted over all of its attempts."""

from __future__ import annotations

import time
from pathlib import Path

from tenfold.core.errors import RunFolderError
from tenfold.core.record import Record

_LEAST_SECONDS_BETWEEN_NOTES = 1.0


class _Spent(Record):
    seconds: float


class TimeLimit:
    """Says when no further trial may begin.

    What is spent is noted on disk about every second, so a kill costs no more of it.

    Parameters
    ----------
    seconds
        The limit; None for none.
    path
        Where the time spent is kept.
    """

    def __init__(self, seconds: float | None, path: Path) -> None:
        self.seconds = seconds
        self._path = path
        try:
            self._before = _Spent.read(path).seconds
        except RunFolderError:  # nothing was spent yet
            self._before = 0.0
        self._started = self._noted = time.monotonic()

    def spent(self) -> float:
        """Give the seconds spent so far, earlier attempts included."""
        return self._before + time.monotonic() - self._started

    def is_over(self) -> bool:
        """Say whether the time is up."""
        return self.seconds is not None and self.spent() >= self.seconds

    def note(self, *, is_due: bool = False) -> None:
        """Write the time spent down, if the last note is old or this one `is_due`."""
        now = time.monotonic()
        if self.seconds is not None and (
            is_due or now - self._noted >= _LEAST_SECONDS_BETWEEN_NOTES
        ):
            _Spent(seconds=self.spent()).write(self._path)
            self._noted = now
