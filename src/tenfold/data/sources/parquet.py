"""Parquet: a table with the images in it or beside it, in one file or in shards by split.

Hugging Face's layouts are known: structs of ``bytes`` and ``path``, the classes' names in the
schema, and ``data/train-00000-of-00003.parquet`` (https://huggingface.co/docs/hub/datasets).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress
from tenfold.core.text import counted, shortlist
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.folder_files import is_hidden, natural_key
from tenfold.data.sources.folder_splits import Role, role_of
from tenfold.data.sources.labelled_files import MadeWhenAsked
from tenfold.data.sources.labelled_rows import Table, load_table
from tenfold.data.sources.parquet_files import (
    ParquetColumns,
    ParquetImages,
    check_same_columns,
    columns_of,
    read_values,
)
from tenfold.data.sources.source import Source, SourceOptions, fingerprint_of_files
from tenfold.data.sources.table_files import FilesBelow
from tenfold.data.sources.table_rows import LOOKED_AT, Rows, find_columns, is_named, no_column

SUFFIXES = frozenset({".parquet", ".parq"})
_SPLIT = "split"
_MOST_LEVELS = 3
_READING = 1
"""Raised when the same files give other classes, splits or pixels than before."""
_SHARD = re.compile(r"[-_.]?(?:part)?[-_.]?[0-9]+(?:-of-[0-9]+)?(?:-[0-9a-f-]+)?$")


class ParquetSource:
    """A file of Parquet, or a folder of them, of which each may be a shard of a split.

    The images lie in a column of bytes, or in files that a column of paths leads to.
    """

    name = "parquet"
    needs_path = True
    is_of_image_files = True
    summary = "Parquet: images or their paths with labels, one file or shards by split"

    def recognises(self, path: Path) -> bool:
        """Say whether `path` is such a file, or a folder of such files."""
        try:
            if path.is_dir():
                return bool(_files_in(path))
            return _is_parquet(path.name) and path.is_file()
        except OSError:
            return False

    def available(self) -> str | None:
        """Say no: a file must be named."""
        return None

    def fingerprint(self, path: Path | None) -> str:
        """Give a digest of the files' names, sizes and times; images beside them do not count."""
        place = _given(path)
        root = place if place.is_dir() else place.parent
        files = _files_in(place) if place.is_dir() else [place]
        return sha256_of_json(["parquet", _READING, fingerprint_of_files(root, files)])

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Decode the images, and split them if neither files nor a column do.

        Raises
        ------
        DataError
            If a file is damaged, a column is missing or of another type, a row has no label, or as
            the folder source says.
        """
        place = _given(path)
        root = place if place.is_dir() else place.parent
        files = _files_in(place) if place.is_dir() else [place]
        if not files:
            raise DataError(f"{place} has no Parquet file. Expected FILE.parquet or a folder.")
        table, notes = _table(place, root, files, options)
        return load_table(
            table,
            options,
            progress,
            source=self.name,
            title=place.resolve().name if place.is_dir() else place.stem,
            description="from Parquet",
            notes=notes,
        )


SOURCE: Source = ParquetSource()


def _given(path: Path | None) -> Path:
    if path is None:
        raise DataError(
            "The source 'parquet' needs a path: tenfold run --data FILE.parquet. Expected a file "
            "or a folder of files with a column of images or of their paths and one of labels."
        )
    return path


def _files_in(folder: Path) -> list[Path]:
    """Give the Parquet files of a folder: in it, or in the nearest folders below that have some."""
    level = [folder]
    for _ in range(_MOST_LEVELS):
        entries = [entry for one in level for entry in os.scandir(one) if not is_hidden(entry.name)]
        files = [
            Path(entry.path) for entry in entries if _is_parquet(entry.name) and entry.is_file()
        ]
        if files:
            return sorted(files, key=lambda file: natural_key(file.as_posix()))
        level = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        # Folders of classes are many; those of shards are few.
        if not level or len(level) > len(_PLACES) * 4 or not all(_may_hold(one) for one in level):
            return []
    return []


_PLACES = frozenset({"data", "default", "main", "parquet"})


def _may_hold(folder: Path) -> bool:
    return folder.name.lower() in _PLACES or role_of(folder.name) is not None


def _is_parquet(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def split_of_file(file: Path, root: Path) -> Role | None:
    """Give the split that a shard's name or folder stands for: ``train-00000-of-00003``."""
    below = file.relative_to(root)
    names = [_SHARD.sub("", below.name.split(".", 1)[0]), *reversed(below.parts[:-1])]
    return next((role for name in names if (role := role_of(name))), None)


def _table(
    place: Path, root: Path, files: Sequence[Path], options: SourceOptions
) -> tuple[Table, list[str]]:
    """Understand the columns of the files, and give their rows."""
    columns = columns_of(files[0])
    _check_asked(place, columns, options)
    image = _image_column(columns, options)
    splits = {file: split_of_file(file, root) for file in files}
    by_file = all(splits.values()) and options.split_column is None and len(files) > 1
    first = Rows(
        read_values(files[0], columns.values, columns.classes, LOOKED_AT), range(LOOKED_AT)
    )
    known = {} if image is None else {"path": image}
    label = _class_column(columns, options)
    known |= {"label": label} if label is not None else {}
    beside = FilesBelow(root)
    asked = options if image is None else replace(options, path_column=None)
    try:
        found = find_columns(place, first, asked, lambda name: beside.find(name) is not None, known)
    except DataError as error:
        others = columns.types.keys() - columns.images.keys() - set(columns.values)
        shown = shortlist([f"{name} ({columns.types[name]})" for name in sorted(others)])
        raise DataError(f"{error} Not read: {shown}." if others else str(error)) from None
    if by_file:
        found.pop("split", None)
    used = list(found.values())
    check_same_columns(files, used)
    values: dict[str, list[str]] = {
        name: [] for kind, name in found.items() if kind != "path" or image is None
    }
    unlabelled: list[Path] = []
    kept: list[Path] = []
    split_values: list[str] = []
    for file in files:
        part = read_values(file, list(values), columns.classes, None)
        labels = part[found["label"]]
        if by_file and splits[file] != "train" and not any(labels):
            unlabelled.append(file)
            continue
        kept.append(file)
        for name in values:
            values[name] += part[name]
        split_values += [splits[file] or ""] * len(labels)
    if by_file:
        values[_SPLIT] = split_values
        found["split"] = _SPLIT
    images = ParquetImages(root, kept, columns.images.get(image or "", found["path"]))
    if not len(images):
        raise DataError(f"{place} has no rows. Expected one for each image.")
    rows = Rows(values, MadeWhenAsked(range(len(images)), images.name), "row")
    split_by = "by the names of the files" if by_file else ""
    table = Table(
        place,
        rows,
        found,
        files=beside if image is None else None,
        images=None if image is None else images,
        split_by=split_by,
    )
    return table, list(_notes(unlabelled, root))


def _check_asked(place: Path, columns: ParquetColumns, options: SourceOptions) -> None:
    """Check that columns that were asked for are there, and of a type that is read."""
    asked = {
        "path": options.path_column,
        "label": options.label_column,
        "split": options.split_column,
        "group": options.group_column,
        "order": options.order_column,
    }
    for kind, name in asked.items():
        if name is None:
            continue
        if name not in columns.types:
            raise DataError(no_column(place, name, kind, tuple(columns.types)))
        if name not in columns.values and not (kind == "path" and name in columns.images):
            images = "bytes, a struct with bytes, or " if kind == "path" else ""
            raise DataError(
                f"{place} cannot give the {kind} out of the column {name!r}: it is of type "
                f"{columns.types[name]}. Expected {images}text or numbers."
            )


def _image_column(columns: ParquetColumns, options: SourceOptions) -> str | None:
    """Give the column that holds images; None if paths lead to them."""
    if options.path_column is not None:
        return options.path_column if options.path_column in columns.images else None
    named = [name for name in columns.images if is_named("path", name)]
    return next(iter([*named, *columns.images]), None)


def _class_column(columns: ParquetColumns, options: SourceOptions) -> str | None:
    """Give the column that was marked as the labels."""
    if options.label_column is not None:
        return None
    marked = [name for name in columns.classes if name in columns.values]
    named = [name for name in marked if is_named("label", name)]
    return next(iter([*named, *marked]), None)


def _notes(unlabelled: Sequence[Path], root: Path) -> Iterable[str]:
    if unlabelled:
        names = shortlist([file.relative_to(root).as_posix() for file in unlabelled])
        yield f"{counted(len(unlabelled), 'file')} without a label was not used: {names}."
