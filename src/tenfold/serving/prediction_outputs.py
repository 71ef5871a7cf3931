"""How predictions are written: as a table, as lines of JSON, as CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from tenfold.core.files import atomic_path
from tenfold.core.text import csv_line, json_line, printable, readable
from tenfold.report.formats import percent, shorten
from tenfold.serving.prediction import Predicted

_LONGEST_CLASS = 24
UNLIKE = "unlike anything in training:"
_UNLIKE_CELL = {None: "", False: "no", True: "yes"}
_MOST_NAMED = 5
"""Classes of a set that a line on the terminal has."""


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
        if result.members is not None:
            cells.append(_set_text([self._names[one] for one in result.members]))
        if result.is_unlike:
            cells.insert(0, UNLIKE)
        self._write("   ".join([*cells, printable(result.name)]))


def _set_text(names: Sequence[str]) -> str:
    """Give a prediction set in braces, as mathematics writes it; of a long one, its size."""
    if len(names) > _MOST_NAMED:
        return f"{{{len(names):,} classes}}"
    return f"{{{', '.join(names)}}}"


class JsonOutput:
    """One line of JSON an image; no ``set`` or ``unlike`` where the model has none.

    ::

        {"image": "cat.jpg", "unlike": false, "class": "cat", "probability": 0.97, "set": ["cat"],
         "top": [...]}
        {"image": "broken.jpg", "error": "not an image of a known format, or empty"}
    """

    def __init__(self, classes: Sequence[str], top: int, write: Callable[[str], object]) -> None:
        self._classes = classes
        self._top = min(top, len(classes))
        self._write = write

    def add(self, result: Predicted) -> None:
        """Write an image's line."""
        values: dict[str, Any] = {"image": readable(result.name)}
        if result.probabilities is None:
            values["error"] = result.reason
        else:
            top = [
                {"class": self._classes[index], "probability": probability}
                for index, probability in result.top(self._top)
            ]
            if result.is_unlike is not None:
                values["unlike"] = result.is_unlike
            values |= top[0]
            if result.members is not None:
                values["set"] = [self._classes[one] for one in result.members]
            values["top"] = top
        self._write(json_line(values))


class CsvOutput:
    """A table with a line an image: image, error, unlike, set, class_1, probability_1, ...

    `unlike` is yes or no, the set's classes are parted by semicolons; both are empty where the
    model has no such thing.
    """

    def __init__(self, classes: Sequence[str], top: int, file: IO[str]) -> None:
        self._classes = classes
        self._top = min(top, len(classes))
        self._file = file
        places = range(1, self._top + 1)
        columns = [f"{name}_{place}" for place in places for name in ("class", "probability")]
        self._file.write(csv_line(["image", "error", "unlike", "set", *columns]))

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
            self._file.write(csv_line([result.name, result.reason, *[""] * (2 + 2 * self._top)]))
            return
        cells = [
            cell for index, share in result.top(self._top) for cell in (self._classes[index], share)
        ]
        members = "; ".join(self._classes[one] for one in result.members or ())
        unlike = _UNLIKE_CELL[result.is_unlike]
        self._file.write(csv_line([result.name, "", unlike, members, *cells]))
