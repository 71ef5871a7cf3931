"""Corrections of labels: read from a file, checked against the data, applied.

CSV with a header line; the columns ``id`` (``train/17``: the split and the image's place in it,
from 0) and ``action`` (``keep``, ``relabel`` or ``drop``) are needed, ``suggested`` (the new class)
for ``relabel``. ``given``, if there, must be the image's label. Other columns do not count.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, RunFolderError, nearest_names
from tenfold.core.files import (
    MOST_TEXT_BYTES,
    read_pipe,
    read_regular_file,
    sha256_of_bytes,
    storage_errors,
    write_bytes,
)
from tenfold.core.settings import Settings
from tenfold.core.text import counted, csv_cell_text, shortlist
from tenfold.data.dataset import Labels, SplitName

Action = Literal["keep", "relabel", "drop"]
ACTIONS: tuple[Action, ...] = get_args(Action)
SPLITS: tuple[SplitName, ...] = get_args(SplitName)

CORRECTIONS = "corrections.csv"
"""Beside settings.json: an edited ``audit/label_issues.csv`` is replaced by the next audit."""
_OFFERED = ".corrections.offered.csv"
_MOST_PROBLEMS = 8  # More at once are not read by anyone.


class CorrectionsSettings(Settings):
    """A corrections file, as the command line's ``--corrections`` found it.

    Attributes
    ----------
    file
        Its name, for the report; the content lies in the run folder.
    sha256
        Of its content.
    """

    file: str
    sha256: str


@dataclass(frozen=True)
class Correction:
    """What is to become of one image.

    Parameters
    ----------
    split, index
        Which image: its place in the split as the source gave it.
    action
        ``keep`` changes nothing.
    label
        The new label; None unless the action is ``relabel``.
    """

    split: SplitName
    index: int
    action: Action
    label: int | None


@dataclass(frozen=True)
class CorrectedLabels:
    """One split's labels after the corrections.

    Parameters
    ----------
    labels
        int64, shape (N,): of all images of the split, those that are left out included.
    kept
        int64, shape (M,), ascending: places of the images that stay.
    """

    labels: Labels
    kept: npt.NDArray[np.int64]


def image_id(split: SplitName, index: int) -> str:
    """Give an image's name in corrections files and on the page, for example ``train/17``."""
    return f"{split}/{index}"


def parse_corrections(
    content: bytes, name: str, *, train: Labels, test: Labels, classes: Sequence[str]
) -> tuple[Correction, ...]:
    """Read a corrections file.

    Parameters
    ----------
    content
        Of the file.
    name
        Of the file, for messages.
    train, test
        Labels of both splits as the source gave them, int64.
    classes
        Class names.

    Raises
    ------
    DataError
        Names the lines that are not valid, what they hold and what is allowed.
    """
    labels: dict[str, Labels] = {"train": train, "test": test}
    problems: list[str] = []
    found: dict[tuple[SplitName, int], tuple[int, Correction]] = {}
    for line, row in correction_rows(content, name):
        read = _correction(row, labels, classes)
        if isinstance(read, str):
            problems.append(f"line {line}: {read}")
            continue
        place = (read.split, read.index)
        if place in found and found[place][1] != read:
            problems.append(
                f"line {line}: {image_id(*place)} was given another action or class in line "
                f"{found[place][0]}. Keep one of the two lines."
            )
        found.setdefault(place, (line, read))
    if problems:
        shown = "\n".join(f"  {problem}" for problem in problems[:_MOST_PROBLEMS])
        more = len(problems) - _MOST_PROBLEMS
        raise DataError(
            f"The corrections file {name} has {counted(len(problems), 'line')} that cannot be "
            f"used:\n{shown}" + (f"\n  and {more} more" if more > 0 else "")
        )
    return tuple(correction for _, correction in found.values())


def apply_corrections(
    corrections: Sequence[Correction], split: SplitName, labels: Labels, classes: Sequence[str]
) -> CorrectedLabels:
    """Give one split's labels after the corrections that are about it.

    Raises
    ------
    DataError
        If a class that had images in the split, or the whole split, would have none left.
    """
    corrected = labels.copy()
    is_kept = np.ones(len(labels), bool)
    for correction in corrections:
        if correction.split == split:
            is_kept[correction.index] = correction.action != "drop"
            if correction.label is not None:
                corrected[correction.index] = correction.label
    kept = np.flatnonzero(is_kept)
    lost = np.setdiff1d(labels, corrected[kept])
    if len(lost) and (split == "train" or not len(kept)):
        names = ", ".join(repr(classes[label]) for label in lost.tolist())
        raise DataError(
            f"The corrections leave no image of {names} in the {split} split. Keep some of them "
            "(action keep), or leave these classes out of the data set."
        )
    return CorrectedLabels(corrected, kept)


def correction_rows(content: bytes, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each line's number and its values by column, of a corrections file that can be read."""
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        # Spreadsheets put a mark before the first letter, and write "Unicode text" as UTF-16.
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"The corrections file {name} is not UTF-8 text ({error.reason} at byte "
            f"{error.start}). Save it as CSV in UTF-8."
        ) from None
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)  # some spreadsheets write semicolons or tabs
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [column.strip().lower() for column in next(reader, [])]
        missing = [column for column in ("id", "action") if column not in columns]
        if missing:
            raise DataError(
                f"The corrections file {name} has no column {' and no column '.join(missing)}. "
                "Its first line must name the columns: id,given,suggested,score,action, as "
                "`tenfold audit` writes them."
            )
        for values in reader:
            if any(value.strip() for value in values):
                padded = values + [""] * (len(columns) - len(values))
                yield reader.line_num, dict(zip(columns, padded, strict=False))
    except csv.Error as error:
        raise DataError(
            f"The corrections file {name} is not readable CSV: line {reader.line_num}: {error}. "
            "Save it as CSV again."
        ) from None


def _correction(
    row: dict[str, str], labels: dict[str, Labels], classes: Sequence[str]
) -> Correction | str:
    """Give what a line asks for, or what is wrong with it."""
    name = row["id"].strip()
    place = _place(name, labels)
    if isinstance(place, str):
        return place
    split, index = place
    given = row.get("given", "")
    label = classes[labels[split][index]]
    if given.strip() and label not in _readings(given):
        return (
            f"{name} has the label {label!r}, but the column given says {given!r}. The file "
            "was made for other data, or this column was changed: the new class belongs into the "
            "column suggested."
        )
    wanted = row["action"].strip().lower()
    action = next((known for known in ACTIONS if known == wanted), None)
    if action is None:
        return _unknown("action", row["action"].strip(), ACTIONS)
    if action != "relabel":
        return Correction(split, index, action, None)
    suggested = row.get("suggested", "")
    meant = next((name for name in _readings(suggested) if name in classes), None)
    if meant is None:
        return _unknown("class", suggested.strip(), classes, where=" in the column suggested")
    return Correction(split, index, action, classes.index(meant))


def _readings(cell: str) -> tuple[str, ...]:
    """Give the class names that a cell may mean, the likeliest first.

    As `csv_line` writes it; as a person writes it, who knows no ``'`` before formulas; and either
    with the spaces that spreadsheets and people leave at the ends.
    """
    stripped = cell.strip()
    return csv_cell_text(cell), cell, csv_cell_text(stripped), stripped


def _place(text: str, labels: dict[str, Labels]) -> tuple[SplitName, int] | str:
    name, _, number = text.partition("/")
    split = next((known for known in SPLITS if known == name), None)
    if split is None or not (number.isascii() and number.isdecimal()):
        return (
            f"There is no image with the id {text!r}. An id is train/ or test/ and the image's "
            "place in the split, from 0, for example train/17."
        )
    count = len(labels[split])
    if len(number) > 18 or int(number) >= count:
        return f"There is no image {text}: the {split} split has {split}/0 to {split}/{count - 1}."
    return split, int(number)


def _unknown(kind: str, name: str, known: Sequence[str], where: str = "") -> str:
    near = nearest_names(name, known)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no {kind} {name!r}{where}.{hint} Allowed: {shortlist(known, 20)}."


def read_corrections(path: Path) -> bytes:
    """Give the content of a corrections file, or of what a shell pipes in its place.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        if path.is_fifo():
            return read_pipe(path, MOST_TEXT_BYTES)
        return read_regular_file(path, MOST_TEXT_BYTES)
    except OSError as error:
        raise DataError(
            f"The corrections file {path} cannot be read: {error.strerror or error}. Give a CSV "
            "file such as audit/label_issues.csv in a run folder, with its column action edited."
        ) from None


def corrections_settings(path: Path, content: bytes) -> CorrectionsSettings:
    """Give the settings that name a corrections file by its content."""
    return CorrectionsSettings(file=path.name, sha256=sha256_of_bytes(content))


def offer_corrections(
    run_folder: Path, settings: CorrectionsSettings | None, content: bytes | None
) -> None:
    """Put a corrections file into the run folder for the acquire stage to look at.

    The one before it stays until `adopt_corrections`.

    Parameters
    ----------
    run_folder
        The study's.
    settings
        What the study was asked to use; None for nothing.
    content
        Of the file; None if the run folder has it already.
    """
    if settings is not None and content is not None:
        write_bytes(run_folder / _OFFERED, content)


def adopt_corrections(run_folder: Path, settings: CorrectionsSettings | None) -> None:
    """Make the corrections file that the settings name the run folder's own."""
    offered = run_folder / _OFFERED
    with storage_errors(offered):
        if settings is not None and _content(offered, settings) is not None:
            offered.replace(run_folder / CORRECTIONS)
        offered.unlink(missing_ok=True)


def stored_corrections(run_folder: Path, settings: CorrectionsSettings) -> bytes:
    """Give the content of the study's corrections file.

    Raises
    ------
    RunFolderError
        If it is not in the run folder, or is not the one that the settings name.
    """
    for name in (CORRECTIONS, _OFFERED):
        content = _content(run_folder / name, settings)
        if content is not None:
            return content
    raise RunFolderError(
        f"{run_folder / CORRECTIONS} is not the corrections file {settings.file} that this study "
        "was made with: it was changed or removed. Give the file again with "
        "--corrections FILE --update."
    )


def _content(path: Path, settings: CorrectionsSettings) -> bytes | None:
    """Give a file's content if it is the one that the settings name."""
    content = read_regular_file(path, MOST_TEXT_BYTES) if path.is_file() else None
    return content if content is not None and sha256_of_bytes(content) == settings.sha256 else None
