"""A table's rows, and which of its columns is which."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.files import MOST_TEXT_BYTES, read_regular_file
from tenfold.core.text import counted, shortlist
from tenfold.data.sources.folder_files import is_image_name
from tenfold.data.sources.folder_splits import Role, role_of
from tenfold.data.sources.source import SourceOptions

CSV = frozenset({".csv", ".tsv"})
JSON_LINES = frozenset({".jsonl", ".ndjson"})
_MOST_SHARED = 2**16  # Equal values of a column of few are one object.
LOOKED_AT = 100  # Rows whose values say what a column is.
# fmt: off
_NAMES: dict[str, tuple[str, ...]] = {
    "path": (
        "path", "image_path", "file_path", "filepath", "img_path", "file", "file_name", "filename",
        "image_file", "image_name", "image", "img", "image_id", "photo", "picture", "id",
    ),
    "label": (
        "label", "labels", "class", "class_name", "classname", "label_name", "category", "target",
        "y", "class_id", "label_id", "tag", "species", "breed", "diagnosis", "dx",
    ),
    "split": ("split", "set", "subset", "partition", "data_set", "dataset", "phase", "usage"),
    "group": (
        "group", "group_id", "patient", "patient_id", "subject", "subject_id", "person",
        "person_id", "writer", "writer_id", "video", "video_id", "lesion_id", "case_id",
    ),
}
# fmt: on
"""What columns are called, likelier names first; compared without case, spaces and hyphens."""
_SETTINGS = {kind: f"data.{kind}_column" for kind in _NAMES} | {"order": "data.order_by"}


@dataclass(frozen=True)
class Rows:
    """A table, column by column: a million rows of objects would not fit in memory.

    Parameters
    ----------
    columns
        The values of each column, a row's value at the row's place.
    lines
        Where each row stands, as people say it: in a text the header is line 1.
    unit
        What is counted: ``line`` or ``row``.
    """

    columns: dict[str, list[str]]
    lines: Sequence[object]
    unit: str = "line"

    @property
    def names(self) -> tuple[str, ...]:
        """Give the columns' names."""
        return tuple(self.columns)

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.lines)


def read_rows(table: Path) -> Rows:
    """Read a table; empty lines are left out.

    Raises
    ------
    DataError
        If it cannot be read, is no text, or is no table; names the line.
    """
    try:
        content = read_regular_file(table, MOST_TEXT_BYTES)
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror or error}.") from error
    return parse_rows(content, table)


def parse_rows(content: bytes, table: Path) -> Rows:
    """Read a table out of the bytes of a file; `table` is what messages call it.

    Raises
    ------
    DataError
        As `read_rows`.
    """
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if is_utf16 else "utf-8-sig"
    lines = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    try:
        read = _json_rows if table.suffix.lower() in JSON_LINES else _csv_rows
        found = read(lines, table)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{table} is not UTF-8 text (line {_bad_line(content, encoding)}: {error.reason}). "
            "Save it as UTF-8."
        ) from None
    if not len(found):
        raise DataError(f"{table} has no rows. Expected a header, then a row for each image.")
    return found


def _bad_line(content: bytes, encoding: str) -> int:
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        return content[: error.start].count(b"\n") + 1
    return 1


def _csv_rows(lines: TextIO, table: Path) -> Rows:
    header = lines.readline()
    lines.seek(0)
    # Some spreadsheets write semicolons, whatever the ending says.
    delimiter = max("\t,;" if table.suffix.lower() == ".tsv" else ",;\t", key=header.count)
    reader = csv.reader(lines, delimiter=delimiter)
    numbers = array("q")
    shared: dict[str, str] = {}  # Labels and splits come again and again.
    try:
        columns = [name.strip() for name in next(reader, [])]
        if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
            raise DataError(
                f"{table} has two columns named {shortlist(twice)}. Give each its own name."
            )
        if any(is_image_name(name) for name in columns):
            raise DataError(
                f"{table} has no header: its first line is {header.strip()[:80]!r}. Put a line "
                f"before it that names the columns, such as path{delimiter}label."
            )
        values_of: list[list[str]] = [[] for _ in columns]
        for values in reader:
            stripped = [value.strip() for value in values]
            if any(stripped[len(columns) :]):
                raise DataError(
                    f"{table}, line {reader.line_num}: it has {len(values)} values, but there are "
                    f"{counted(len(columns), 'column')}. Put values with a {delimiter!r} in them "
                    "in quotation marks."
                )
            if any(stripped):
                numbers.append(reader.line_num)
                for column, value in zip_longest(values_of, stripped[: len(columns)], fillvalue=""):
                    assert isinstance(column, list)
                    column.append(one_object(shared, value))
    except csv.Error as error:
        raise DataError(
            f"{table} is not readable as a table: line {reader.line_num}: {error}. Save it again "
            "as CSV."
        ) from None
    return Rows(
        {name: values for name, values in zip(columns, values_of, strict=True) if name}, numbers
    )


def one_object(known: dict[str, str], value: str) -> str:
    """Give one object for equal values, as long as there are few."""
    return known.setdefault(value, value) if len(known) < _MOST_SHARED else known.get(value, value)


def _json_rows(lines: TextIO, table: Path) -> Rows:
    columns: dict[str, list[str]] = {}
    numbers = array("q")
    shared: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
            raise DataError(
                f"{table}, line {number}: no JSON ({reason}). Each line holds one object, such as "
                '{"path": "1.png", "label": "cat"}.'
            ) from None
        if not isinstance(values, dict):
            raise DataError(
                f"{table}, line {number}: it holds {type(values).__name__}, not an object such as "
                '{"path": "1.png", "label": "cat"}.'
            )
        for name, value in values.items():
            known = columns.setdefault(name.strip(), [])
            # A value of an earlier row that was not said is empty.
            known.extend([""] * (len(numbers) - len(known)))
            known[len(numbers) :] = [one_object(shared, plain(value))]
        numbers.append(number)
    for known in columns.values():
        known.extend([""] * (len(numbers) - len(known)))
    return Rows(columns, numbers)


def plain(value: Any) -> str:
    """Give a value as a table's cell; what is no name or number is none."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < 2**63 else ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.17g}"
    return ""


def find_columns(
    table: Path,
    read: Rows,
    options: SourceOptions,
    is_path: Callable[[str], bool],
    known: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Say which column is which: as asked, else by its name, else by its content.

    Parameters
    ----------
    table
        What messages call it.
    is_path
        Whether a value leads to a file, whatever it is called.
    known
        What is known of a column already, for example that it holds the images themselves.

    Raises
    ------
    DataError
        If a column that was asked for is not there, or none can be the path or the label.
    """
    asked = {
        "path": options.path_column,
        "label": options.label_column,
        "split": options.split_column,
        "group": options.group_column,
        "order": options.order_column,
    }
    found = dict(known)
    for kind, name in asked.items():
        if name is not None:
            if name not in read.columns:
                raise DataError(no_column(table, name, kind, read.names))
            found[kind] = name
    checks: dict[str, Callable[[str], bool]] = {
        "path": lambda name: (
            share(read, name, lambda value: is_image_name(value) or is_path(value)) > 0.5
        ),
        "label": lambda name: share(read, name, is_image_name) < 0.5,
        "split": lambda name: (
            share(read, name, lambda value: role_in_table(value) is not None) > 0.5
        ),
        "group": lambda name: share(read, name, bool) > 0.5,
    }
    for kind, names in _NAMES.items():
        if kind in found:
            continue
        free = [name for name in read.columns if name not in found.values()]
        by_name = sorted((names.index(_key(name)), name) for name in free if _key(name) in names)
        found |= next(({kind: name} for _, name in by_name if checks[kind](name)), {})
        if kind == "path" and kind not in found:
            by_content = [name for name in free if checks[kind](name)]
            found |= {kind: by_content[0]} if by_content else {}
            # Named as the path, but leading nowhere: each row says so.
            found |= {kind: by_name[0][1]} if by_name and not by_content else {}
        others = {*_NAMES["split"], *_NAMES["group"]}
        rest = [name for name in free if _key(name) not in others]
        if kind == "label" and kind not in found and len(rest) == 1:
            found[kind] = rest[0]
    for kind in ("path", "label"):
        if kind not in found:
            what = "image files" if kind == "path" else "labels"
            raise DataError(
                f"{table} has no column that is known to hold the {what}. Its columns: "
                f"{shortlist(read.names)}. Name it: --{kind}-column NAME"
            )
    return found


def no_column(table: Path, name: str, kind: str, columns: Sequence[str]) -> str:
    """Say that there is no column of this name, and which may have been meant."""
    near = nearest_names(name, columns)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return (
        f"{table} has no column {name!r} ({_SETTINGS[kind]}).{hint} Its columns: "
        f"{shortlist(columns)}."
    )


def _key(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def is_named(kind: str, name: str) -> bool:
    """Say whether a column's name is one of those that stand for its kind."""
    return _key(name) in _NAMES[kind]


def share(read: Rows, name: str, is_so: Callable[[str], bool]) -> float:
    """Give the share of a column's first values that are so; empty ones do not count."""
    values = [value for value in read.columns[name][:LOOKED_AT] if value]
    return sum(map(is_so, values)) / len(values) if values else 0.0


def role_in_table(value: str) -> Role | None:
    """Give the split that a cell stands for; None if it is none."""
    return role_of(value) or {"tr": "train", "va": "validation", "te": "test"}.get(  # type: ignore[return-value]
        value.lower()
    )
