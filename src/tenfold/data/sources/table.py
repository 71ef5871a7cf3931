"""A table of image files and their labels: CSV, TSV or JSON lines."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.folder_files import FolderScan
from tenfold.data.sources.labelled_rows import Table, load_table
from tenfold.data.sources.source import Source, SourceOptions, fingerprint_of_files
from tenfold.data.sources.table_files import FilesBelow
from tenfold.data.sources.table_rows import CSV, JSON_LINES, find_columns, read_rows, share
from tenfold.data.sources.tables_beside import TablesBeside, tables_in_folder

_READING = 2
"""Raised when the same files give other classes, splits or pixels than before."""


class TableSource:
    """A table with a row an image: its path, its label, and, if there are any, split and group.

    Paths are relative to the table's folder. Images of one group (a patient, a writer, a video)
    stay together where tenfold splits. Decoding and sizes are the folder source's. A folder is
    read, too, if the table lies beside its images; see `tenfold.data.sources.tables_beside`.
    """

    name = "table"
    needs_path = True
    is_of_image_files = True
    summary = "a table of image files and their labels: .csv, .tsv or .jsonl"

    def recognises(self, path: Path) -> bool:
        """Say whether `path` is a file of such an ending, or a folder with one beside images."""
        try:
            if path.is_dir():
                return tables_in_folder(path) is not None
            return path.suffix.lower() in CSV | JSON_LINES and path.is_file()
        except OSError:
            return False

    def available(self) -> str | None:
        """Say no: a table must be named."""
        return None

    def fingerprint(self, path: Path | None) -> str:
        """Give a digest of the table and of the sizes and times of the files that it names.

        Which column is meant is not known here, so all count that lead to files.
        """
        table = _given(path)
        if table.is_dir():
            below = [table / name for name in _beside(table).names]
            images = FolderScan().images_below(table)
            return sha256_of_json(
                ["tables", _READING, fingerprint_of_files(table, [*below, *images])]
            )
        read = read_rows(table)
        files = FilesBelow(table.parent)
        columns = [
            name
            for name in read.columns
            if share(read, name, lambda value: files.find(value) is not None)
        ]
        named = {
            found
            for name in columns
            for value in read.columns[name]
            if (found := files.find(value)) is not None
        }
        return _digest(
            ["table", _READING, fingerprint_of_files(table.parent, (table,))], table.parent, named
        )

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Decode the images that the table names, and split them if it does not.

        Raises
        ------
        DataError
            If the table cannot be read, columns are missing, a row has no file, label or known
            split, or as the folder source says.
        """
        place = _given(path)
        return load_table(
            _beside(place).table(options) if place.is_dir() else _table(place, options),
            options,
            progress,
            source=self.name,
            title=place.resolve().name if place.is_dir() else place.stem,
            description="named by a table",
        )


SOURCE: Source = TableSource()


def _digest(start: list[object], folder: Path, names: Iterable[str]) -> str:
    """Give the digest of ``[*start, [[name, size, time], ...]]`` as JSON, a file at a time."""
    digest = hashlib.sha256(_json(start)[:-1] + b",[")
    separator = b""
    for name in sorted(os.path.relpath(folder / name, folder) for name in names):
        status = os.stat(folder / name)
        digest.update(separator + _json([name, status.st_size, status.st_mtime_ns]))
        separator = b","
    digest.update(b"]]")
    return digest.hexdigest()


def _json(value: object) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


def _table(table: Path, options: SourceOptions) -> Table:
    read = read_rows(table)
    files = FilesBelow(table.parent)
    columns = find_columns(table, read, options, lambda name: files.find(name) is not None)
    return Table(table, read, columns, files)


def _beside(folder: Path) -> TablesBeside:
    tables = tables_in_folder(folder)
    if tables is None:
        raise DataError(
            f"{folder} has no table beside its images. Expected metadata.csv or metadata.jsonl "
            "with the columns file_name and label, or a table of which --data names the file."
        )
    return tables


def _given(path: Path | None) -> Path:
    if path is None:
        raise DataError(
            "The source 'table' needs a file: tenfold run --data FILE.csv. Expected a table (.csv, "
            ".tsv, .jsonl) with a column of image files and one of labels."
        )
    return path
