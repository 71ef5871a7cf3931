"""A table that lies beside its images, in a folder or in an archive.

``metadata.csv`` or ``metadata.jsonl`` is Hugging Face's imagefolder: one, or one in each split's
folder (https://huggingface.co/docs/datasets/image_dataset). Any other table is taken if it is the
only one, leads to images, and these lie in no folders that could be classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tenfold.core.errors import DataError
from tenfold.core.files import MOST_TEXT_BYTES, read_regular_file
from tenfold.data.sources.archive_members import Archive
from tenfold.data.sources.folder_files import is_hidden, is_image_name, sub_folders
from tenfold.data.sources.folder_splits import GENERIC_NAMES, role_of
from tenfold.data.sources.labelled_rows import Table
from tenfold.data.sources.source import SourceOptions
from tenfold.data.sources.table_files import FilesBelow, FilesInArchive, NamedFiles
from tenfold.data.sources.table_rows import (
    CSV,
    JSON_LINES,
    Rows,
    find_columns,
    parse_rows,
    share,
)

_METADATA = "metadata"
_FILE_NAME = "file_name"
_SPLIT = "split"
_MOST_FOLDERS = 1000


@dataclass(frozen=True)
class TablesBeside:
    """Tables of one data set, and the images that they lead to.

    Parameters
    ----------
    place
        The folder or archive.
    names
        The tables, relative to `place`.
    content
        Gives the bytes of a table.
    files_from
        Gives the files that a table in a folder leads to; the folder is relative to `place`.
    """

    place: Path
    names: tuple[str, ...]
    content: Callable[[str], bytes]
    files_from: Callable[[str], NamedFiles]

    @property
    def is_metadata(self) -> bool:
        """Say whether they are Hugging Face's."""
        return all(_is_metadata(name) for name in self.names)

    def table(self, options: SourceOptions) -> Table:
        """Read the tables as one, with a row's split by the folder that its table lies in.

        Raises
        ------
        DataError
            If one is no table, or its columns are not known.
        """
        parts = [self._rows(name) for name in self.names]
        if len(parts) == 1:
            folder = _folder_of(self.names[0])
            files, read = self.files_from(folder), parts[0]
            place = self.place / self.names[0]
        else:
            files, read = self.files_from(""), _joined(self.names, parts)
            place = self.place
        columns = find_columns(place, read, options, lambda name: files.find(name) is not None)
        return Table(place, read, columns, files, location=self.place)

    def leads_to_images(self) -> bool:
        """Say whether columns are known and paths lead to files."""
        try:
            table = self.table(SourceOptions())
        except DataError:
            return False
        if self.is_metadata and table.columns["path"] != _FILE_NAME:
            return False
        assert table.files is not None
        find = table.files.find
        return share(table.rows, table.columns["path"], lambda name: find(name) is not None) > 0.5

    def _rows(self, name: str) -> Rows:
        return parse_rows(self.content(name), self.place / name)


def tables_in_folder(folder: Path) -> TablesBeside | None:
    """Find the tables beside the images of a folder; None if there are none."""
    try:
        names = list(_listed(folder))
    except OSError:
        return None

    def content(name: str) -> bytes:
        try:
            return read_regular_file(folder / name, MOST_TEXT_BYTES)
        except OSError as error:
            raise DataError(f"{folder / name} cannot be read: {error.strerror}.") from error

    found = _chosen(names, _has_class_folders(folder))
    tables = TablesBeside(folder, found, content, lambda below: FilesBelow(folder / below))
    return tables if found and tables.leads_to_images() else None


def tables_in_archive(archive: Archive) -> TablesBeside | None:
    """Find the tables beside the images of an archive; None if there are none."""
    files = [name for name in archive.names if _is_table(name)]
    above = {_folder_of(name) for name in archive.names if is_image_name(name)}
    classes = {folder for folder in above if folder and not _is_no_class(folder)}
    found = _chosen(files, len(classes) > 1)

    def content(name: str) -> bytes:
        try:
            return archive.read(archive.names.index(name))
        except OSError as error:
            raise DataError(f"{archive.path}/{name} cannot be read: {error.strerror}.") from error

    tables = TablesBeside(
        archive.path, found, content, lambda below: FilesInArchive(archive, below)
    )
    return tables if found and tables.leads_to_images() else None


def _chosen(names: Sequence[str], has_classes: bool) -> tuple[str, ...]:
    metadata = sorted(name for name in names if _is_metadata(name))
    folders = [_folder_of(name) for name in metadata]
    if len(metadata) > 1 and all(role_of(PurePosixPath(one).name) for one in folders):
        is_once = len(set(folders)) == len(folders)
        return tuple(metadata) if is_once else ()
    if len(metadata) == 1:
        return tuple(metadata)
    return tuple(names) if len(names) == 1 and not has_classes else ()


def _listed(folder: Path) -> Iterator[str]:
    """Give the tables in a folder, and the metadata in the folders of splits."""
    yield from (name for name in sorted(os.listdir(folder)) if _is_table(name))
    for below in sub_folders(folder)[:_MOST_FOLDERS]:
        if role_of(below.name):
            names = sorted(os.listdir(below))
            yield from (f"{below.name}/{name}" for name in names if _is_metadata(name))


def _has_class_folders(folder: Path) -> bool:
    below = sub_folders(folder)
    inner = [two for one in below if _is_no_class(one.name) for two in sub_folders(one)]
    return any(not _is_no_class(one.name) for one in (*below, *inner))


def _is_no_class(folder: str) -> bool:
    name = PurePosixPath(folder).name
    return name.lower() in GENERIC_NAMES or role_of(name) is not None


def _is_table(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in CSV | JSON_LINES and not is_hidden(path.name)


def _is_metadata(name: str) -> bool:
    return _is_table(name) and PurePosixPath(name).stem.lower() == _METADATA


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def _joined(names: Sequence[str], parts: Sequence[Rows]) -> Rows:
    """Put tables of several splits together; their paths become relative to the folder above."""
    columns: dict[str, list[str]] = {name: [] for rows in parts for name in rows.columns}
    splits: list[str] = []
    lines: list[str] = []
    for table, rows in zip(names, parts, strict=True):
        folder = _folder_of(table)
        for name in columns:
            found = rows.columns.get(name, [""] * len(rows))
            if name == _FILE_NAME:
                found = [f"{folder}/{value}" if value else "" for value in found]
            columns[name] += found
        splits += [PurePosixPath(folder).name] * len(rows)
        lines += [f"{line} of {table}" for line in rows.lines]
    return Rows({**columns, _SPLIT: splits}, lines)
