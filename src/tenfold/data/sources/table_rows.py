"""A table's rows, and which of its columns is which."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.files import (
    MOST_TEXT_BYTES,
    check_regular_file,
    read_regular_file,
)
from tenfold.core.text import counted, shortlist
from tenfold.data.sources.folder_files import is_image_name
from tenfold.data.sources.folder_splits import Role, role_of
from tenfold.data.sources.source import SourceOptions

CSV = frozenset({".csv", ".tsv"})
JSON_LINES = frozenset({".jsonl", ".ndjson"})
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
_SETTINGS = {kind: f"data.{kind}_column" for kind in _NAMES}


@dataclass(frozen=True)
class Row:
    """A row's values by column, and where it stands."""

    line: int
    """As editors and spreadsheets count: the header is line 1."""
    values: Mapping[str, str]


@dataclass(frozen=True)
class Rows:
    """A table's columns and rows."""

    columns: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)


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
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{table} is not UTF-8 text (line {line}: {error.reason}). Save it as UTF-8."
        ) from None
    read = _json_rows if table.suffix.lower() in JSON_LINES else _csv_rows
    found = read(text, table)
    if not found.rows:
        raise DataError(f"{table} has no rows. Expected a header, then a row for each image.")
    return found


def _csv_rows(text: str, table: Path) -> Rows:
    header = text.split("\n", 1)[0]
    # Some spreadsheets write semicolons, whatever the ending says.
    delimiter = max("\t,;" if table.suffix.lower() == ".tsv" else ",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[Row] = []
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
        for values in reader:
            if any(value.strip() for value in values[len(columns) :]):
                raise DataError(
                    f"{table}, line {reader.line_num}: it has {len(values)} values, but there are "
                    f"{counted(len(columns), 'column')}. Put values with a {delimiter!r} in them "
                    "in quotation marks."
                )
            if any(value.strip() for value in values):
                stripped = [value.strip() for value in values]
                padded = stripped + [""] * (len(columns) - len(values))
                rows.append(Row(reader.line_num, dict(zip(columns, padded, strict=False))))
    except csv.Error as error:
        raise DataError(
            f"{table} is not readable as a table: line {reader.line_num}: {error}. Save it again "
            "as CSV."
        ) from None
    return Rows(tuple(name for name in columns if name), rows)


def _json_rows(text: str, table: Path) -> Rows:
    columns: dict[str, None] = {}
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), 1):
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
        plain = {name.strip(): _plain(value) for name, value in values.items()}
        columns |= dict.fromkeys(plain)
        rows.append(Row(number, plain))
    return Rows(tuple(columns), rows)


def _plain(value: Any) -> str:
    """Give a JSON value as a table's cell; what is no name or number is none."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < 2**63 else ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.17g}"
    return ""


def find_columns(table: Path, read: Rows, options: SourceOptions) -> dict[str, str]:
    """Say which column is which: as asked, else by its name, else by its content.

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
    }
    found: dict[str, str] = {}
    for kind, name in asked.items():
        if name is not None:
            if name not in read.columns:
                near = nearest_names(name, read.columns)
                hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
                raise DataError(
                    f"{table} has no column {name!r} ({_SETTINGS[kind]}).{hint} Its columns: "
                    f"{shortlist(read.columns)}."
                )
            found[kind] = name
    rows = read.rows[:LOOKED_AT]
    checks: dict[str, Callable[[str], bool]] = {
        "path": lambda name: share(rows, name, _is_path(table.parent)) > 0.5,
        "label": lambda name: share(rows, name, is_image_name) < 0.5,
        "split": lambda name: (
            share(rows, name, lambda value: role_in_table(value) is not None) > 0.5
        ),
        "group": lambda name: share(rows, name, bool) > 0.5,
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
                f"{shortlist(read.columns)}. Name it: --set {_SETTINGS[kind]}=NAME"
            )
    return found


def _key(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def share(rows: Sequence[Row], name: str, is_so: Callable[[str], bool]) -> float:
    values = [value for row in rows if (value := row.values.get(name, ""))]
    return sum(map(is_so, values)) / len(values) if values else 0.0


def _is_path(folder: Path) -> Callable[[str], bool]:
    is_file = is_file_below(folder)
    return lambda value: is_image_name(value) or is_file(value)


def is_file_below(folder: Path) -> Callable[[str], bool]:
    return lambda value: existing_file(folder, value) is not None


def existing_file(folder: Path, value: str) -> Path | None:
    """Give the file that a value leads to; None if there is none.

    Tables from Windows have backslashes in their paths.
    """
    if not value or len(value) > 4096 or "\0" in value:
        return None
    for name in dict.fromkeys((value, value.replace("\\", "/"))):
        path = Path(os.path.normpath(folder / name))
        try:
            check_regular_file(path)
        except (OSError, ValueError):
            continue
        return path
    return None


def role_in_table(value: str) -> Role | None:
    return role_of(value) or {"tr": "train", "va": "validation", "te": "test"}.get(  # type: ignore[return-value]
        value.lower()
    )
