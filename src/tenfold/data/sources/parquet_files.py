"""Parquet files of one data set: what their columns are, and their images, read in order.

A row of Parquet cannot be had without its page, and often its whole row group, so images are read
in batches from front to back and the last ones are kept: in the order of the rows, each is unpacked
once. Any other order is right, too, and slow.
"""

from __future__ import annotations

import errno
import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.text import shortlist
from tenfold.data.sources.labelled_files import MadeWhenAsked
from tenfold.data.sources.table_rows import one_object, plain

_BATCH_ROWS = 32
_KEPT_BYTES = 2**27
_LEAST_BATCHES = 8
_BUFFER_BYTES = 2**20


@dataclass(frozen=True)
class ParquetColumns:
    """What the columns of a Parquet file are by their types.

    Parameters
    ----------
    images
        Those that hold encoded images, with where their bytes lie: ``{"image": "image.bytes"}``.
    values
        Those of text, numbers or truth values.
    classes
        Names of the classes of columns that Hugging Face's library marked as labels.
    types
        Of all columns, in words.
    """

    images: dict[str, str]
    values: tuple[str, ...]
    classes: dict[str, tuple[str, ...]]
    types: dict[str, str]


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise DataError(
            f"{file} is no whole Parquet file ({reason}). It is cut off or damaged, or another "
            "kind of file: copy or download it again."
        ) from error


def columns_of(file: Path) -> ParquetColumns:
    """Say what the columns of a file are; reads its footer alone.

    Raises
    ------
    DataError
        If it is damaged, or no Parquet file.
    """
    import pyarrow.parquet
    from pyarrow import types

    with _readable(file):
        schema = pyarrow.parquet.read_schema(file)
    images, values = {}, []
    for field in schema:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if _is_bytes(kind):
            images[field.name] = field.name
        elif types.is_struct(kind) and any(
            one.name == "bytes" and _is_bytes(one.type) for one in kind
        ):
            images[field.name] = f"{field.name}.bytes"
        elif (
            _is_text(kind)
            or types.is_integer(kind)
            or types.is_floating(kind)
            or types.is_boolean(kind)
        ):
            values.append(field.name)
    return ParquetColumns(
        images,
        tuple(values),
        _class_names(schema.metadata or {}),
        {field.name: str(field.type)[:60] for field in schema},
    )


def _is_bytes(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Give what `datasets` wrote of ClassLabel columns."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: tuple(map(str, feature["names"]))
            for name, feature in features.items()
            if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def check_same_columns(files: Sequence[Path], used: Sequence[str]) -> None:
    """Check that all files have the used columns, and of the same types as the first.

    Raises
    ------
    DataError
        Names the first that differs.
    """
    first = columns_of(files[0]).types
    for file in files[1:]:
        there = columns_of(file).types
        if missing := [name for name in used if name not in there]:
            raise DataError(
                f"{file} has no column {missing[0]!r}, which {files[0].name} has. Its columns: "
                f"{shortlist(tuple(there))}. Give the files of one data set alone."
            )
        if others := [name for name in used if there[name] != first[name]]:
            name = others[0]
            raise DataError(
                f"{file} has another type in the column {name!r} ({there[name]}) than "
                f"{files[0].name} ({first[name]}). Give the files of one data set alone."
            )


def read_values(
    file: Path, names: Sequence[str], classes: dict[str, tuple[str, ...]], most_rows: int | None
) -> dict[str, list[str]]:
    """Give columns as a table has them: text, in which a class's number is its name.

    Parameters
    ----------
    classes
        Names of classes by column; a number that has none becomes empty.
    most_rows
        Read no more; None for all.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    import pyarrow.parquet

    found: dict[str, list[str]] = {name: [] for name in names}
    shared: dict[str, str] = {}  # Equal values are one object.
    with _readable(file), pyarrow.parquet.ParquetFile(file) as opened:
        size = most_rows or 2**16
        for batch in opened.iter_batches(batch_size=size, columns=list(names)):
            for name in names:
                known = classes.get(name)
                for value in batch.column(name).to_pylist():
                    if known is not None and isinstance(value, int):
                        text = known[value] if 0 <= value < len(known) else ""
                    else:
                        text = one_object(shared, plain(value))
                    found[name].append(text)
            if most_rows is not None:
                break
    return found


class ParquetImages(MadeWhenAsked["ParquetCell"]):
    """The images of one column of some files, in the order of their rows.

    Parameters
    ----------
    folder
        What the files' names are relative to, for messages.
    files
        In this order.
    column
        Where the bytes lie: ``image.bytes``.

    Raises
    ------
    DataError
        If a file is damaged.
    """

    def __init__(self, folder: Path, files: Sequence[Path], column: str) -> None:
        import pyarrow.parquet

        self._folder, self._column = folder, column
        self._groups: list[tuple[Path, int]] = []
        self._begins = [0]  # The first row of each group, and the end.
        self._file_begins: dict[Path, int] = {}
        for file in files:
            self._file_begins[file] = self._begins[-1]
            with _readable(file):
                metadata = pyarrow.parquet.read_metadata(file)
                counts = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
            for number, count in enumerate(counts):
                self._groups.append((file, number))
                self._begins.append(self._begins[-1] + count)
        self._batches = _Batches(column)
        self._lock = threading.Lock()
        super().__init__(range(self._begins[-1]), lambda row: ParquetCell(self, row))

    def name(self, row: int) -> str:
        """Say where a row is: ``row 17 of data/train-00000-of-00003.parquet``."""
        file, _ = self._groups[bisect_right(self._begins, row) - 1]
        place = file.relative_to(self._folder)
        return f"{row - self._file_begins[file] + 1} of {place}"

    def read(self, row: int) -> bytes:
        """Give the image of a row.

        Raises
        ------
        OSError
            If it is empty or damaged.
        """
        import pyarrow

        group = bisect_right(self._begins, row) - 1
        try:
            with self._lock:
                cell = self._batches.cell(self._groups[group], row - self._begins[group])
        # Fewer rows than the footer says, or what is no text where some should be.
        except (pyarrow.ArrowException, ValueError, IndexError, StopIteration) as error:
            reason = str(error).split("\n", 1)[0][:100]
            raise OSError(errno.EIO, f"damaged in the Parquet file: {reason}") from error
        if cell is None:
            raise OSError(errno.ENODATA, "there is no image in the row")
        return cell

    def __str__(self) -> str:
        """Give the folder or file."""
        return str(self._folder)

    @property
    def folder(self) -> Path:
        """Give what the files' names are relative to."""
        return self._folder


class _Batches:
    """Reads a row group's batches one after the other, and keeps the last."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._group: tuple[Path, int] | None = None
        self._reader: Iterator[Any] = iter(())
        self._next = 0  # Number of the batch that the reader gives next.
        self._kept: OrderedDict[tuple[tuple[Path, int], int], Any] = OrderedDict()

    def cell(self, group: tuple[Path, int], row: int) -> bytes | None:
        number, place = divmod(row, _BATCH_ROWS)
        found: Any = self._kept.get((group, number))
        if found is None:
            if group != self._group or number < self._next:
                self._begin(group)
            while self._next <= number:
                found = self._values(next(self._reader))
                self._keep((group, self._next), found)
                self._next += 1
        return found[place].as_py()  # type: ignore[no-any-return]

    def _begin(self, group: tuple[Path, int]) -> None:
        import pyarrow.parquet

        file, number = group
        self._group, self._next = group, 0
        self._reader = _batches(
            pyarrow.parquet.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False),
            number,
            self._column,
        )

    def _values(self, batch: Any) -> Any:
        import pyarrow.compute

        values = batch.column(0)
        if pyarrow.types.is_struct(values.type):
            values = pyarrow.compute.struct_field(values, "bytes")
        return values

    def _keep(self, key: tuple[tuple[Path, int], int], values: Any) -> None:
        self._kept[key] = values
        size = sum(one.nbytes for one in self._kept.values())
        while size > _KEPT_BYTES and len(self._kept) > _LEAST_BATCHES:
            size -= self._kept.popitem(last=False)[1].nbytes


def _batches(opened: Any, group: int, column: str) -> Iterator[Any]:
    with opened:
        yield from opened.iter_batches(
            batch_size=_BATCH_ROWS, row_groups=[group], columns=[column], use_threads=False
        )


@dataclass(frozen=True, slots=True)
class ParquetCell:
    """The encoded image of a row; an `EncodedImage`."""

    images: ParquetImages
    row: int

    @property
    def suffix(self) -> str:
        """Give none: what it is, its bytes say."""
        return ""

    def read_bytes(self) -> bytes:
        """Give the image."""
        return self.images.read(self.row)

    def __str__(self) -> str:
        """Say where the row is."""
        return f"{self.images.folder}: row {self.images.name(self.row)}"
