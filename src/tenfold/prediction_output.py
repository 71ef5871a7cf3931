"""Predictions as a table for people, as JSON lines, and as CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from tenfold.core.files import atomic_path
from tenfold.core.text import csv_line, json_line, printable, readable
from tenfold.prediction import Predicted
from tenfold.report.formats import percent, shorten

_LONGEST_CLASS = 24


class PredictionOutput(Protocol):
    """Takes predictions one after the other."""

    def add(self, result: Predicted) -> None:
        """Write an image."""


class TableOutput:
    """One line an image: the most probable classes, then the image's path.

    Parameters
    ----------
    classes
        Names by index.
    top
        Classes shown; at most all.
    write
        Takes one line.
    """

    def __init__(self, classes: Sequence[str], top: int, write: Callable[[str], object]) -> None:
        self._names = [shorten(name, _LONGEST_CLASS) for name in classes]
        self._top = min(top, len(classes))
        self._write = write
        self._width = max(map(len, self._names))

    def add(self, result: Predicted) -> None:
        """Write an image's line; nothing for one that cannot be read."""
        if result.probabilities is None:
            return
        cells = [
            f"{self._names[index]:{self._width}} {percent(probability):>6}"
            for index, probability in result.top(self._top)
        ]
        self._write("   ".join([*cells, printable(result.name)]))


class JsonOutput:
    """One line of JSON an image.

    ::

        {"image": "cat.jpg", "class": "cat", "probability": 0.97, "top": [{"class": ...}, ...]}
        {"image": "broken.jpg", "error": "not an image of a known format, or empty"}
    """

    def __init__(self, classes: Sequence[str], top: int, write: Callable[[str], object]) -> None:
        self._classes = classes
        self._top = min(top, len(classes))
        self._write = write

    def add(self, result: Predicted) -> None:
        """Write an image's line."""
        self._write(json_line(self._values(result)))

    def _values(self, result: Predicted) -> dict[str, Any]:
        name = readable(result.name)
        if result.probabilities is None:
            return {"image": name, "error": result.reason}
        top = [
            {"class": self._classes[index], "probability": probability}
            for index, probability in result.top(self._top)
        ]
        return {"image": name, **top[0], "top": top}


class CsvOutput:
    """A table with a line an image: image, error, class_1, probability_1, class_2, ..."""

    def __init__(self, classes: Sequence[str], top: int, file: IO[str]) -> None:
        self._classes = classes
        self._top = min(top, len(classes))
        self._file = file
        places = range(1, self._top + 1)
        columns = [f"{name}_{place}" for place in places for name in ("class", "probability")]
        self._file.write(csv_line(["image", "error", *columns]))

    @classmethod
    @contextmanager
    def to_file(cls, path: Path, classes: Sequence[str], top: int) -> Iterator[CsvOutput]:
        """Write a file, whole or not at all, in UTF-8 that spreadsheets recognise."""
        with (
            atomic_path(path, only_known=True) as part,
            part.open("w", encoding="utf-8-sig", newline="") as file,
        ):
            yield cls(classes, top, file)
            file.flush()

    def add(self, result: Predicted) -> None:
        """Write an image's line."""
        if result.probabilities is None:
            self._file.write(csv_line([result.name, result.reason, *[""] * (2 * self._top)]))
            return
        cells = [
            cell for index, share in result.top(self._top) for cell in (self._classes[index], share)
        ]
        self._file.write(csv_line([result.name, "", *cells]))
