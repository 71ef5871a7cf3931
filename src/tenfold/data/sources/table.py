"""A table of image files and their labels: CSV, TSV or JSON lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.files import (
    sha256_of_json,
)
from tenfold.core.progress import Progress
from tenfold.core.text import counted, shortlist
from tenfold.data.dataset import Groups, ImageDataset
from tenfold.data.sources.folder_files import natural_key
from tenfold.data.sources.folder_splits import Role
from tenfold.data.sources.labelled_files import LabelledFiles, ReadFiles, read_labelled_files
from tenfold.data.sources.source import Source, SourceOptions, fingerprint_of_files
from tenfold.data.sources.table_rows import (
    CSV,
    JSON_LINES,
    LOOKED_AT,
    Rows,
    existing_file,
    find_columns,
    is_file_below,
    read_rows,
    role_in_table,
    share,
)

_MOST_PROBLEMS = 5  # More in one message are not read by anyone.

_EMPTY = frozenset({"", "nan", "null"})

_READING = 2
"""Raised when the same files give other classes, splits or pixels than before."""


class TableSource:
    """A table with a row an image: its path, its label, and, if there are any, split and group.

    Paths are relative to the table's folder. Images of one group (a patient, a writer, a video)
    stay together where tenfold splits. Decoding and sizes are the folder source's.
    """

    name = "table"
    needs_path = True
    summary = "a table of image files and their labels: .csv, .tsv or .jsonl"

    def recognises(self, path: Path) -> bool:
        """Say whether `path` is a file of such an ending."""
        try:
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
        read = read_rows(table)
        is_file = is_file_below(table.parent)
        columns = [name for name in read.columns if share(read.rows[:LOOKED_AT], name, is_file)]
        named = {
            found
            for row in read.rows
            for name in columns
            if (found := existing_file(table.parent, row.values.get(name, ""))) is not None
        }
        names = sorted(os.path.relpath(file, table.parent) for file in named)
        files = [
            (name, status.st_size, status.st_mtime_ns)
            for name in names
            for status in [os.stat(table.parent / name)]
        ]
        return sha256_of_json(
            ["table", _READING, fingerprint_of_files(table.parent, (table,)), files]
        )

    def labelled_files(self, path: Path | None, options: SourceOptions) -> LabelledFiles[Path]:
        """Give all files with their labels and splits, without decoding any."""
        table = _given(path)
        read = read_rows(table)
        return _listed(table, read, find_columns(table, read, options))[0]

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Decode the images that the table names, and split them if it does not.

        Raises
        ------
        DataError
            If the table cannot be read, columns are missing, a row has no file, label or known
            split, or as the folder source says.
        """
        table = _given(path)
        read = read_rows(table)
        columns = find_columns(table, read, options)
        listed, groups, notes = _listed(table, read, columns)
        has_test = bool(listed.is_test.any())
        found = read_labelled_files(
            listed,
            options,
            progress,
            usable_classes=partial(_usable_classes, table, listed),
            has_test=has_test,
            groups=groups,
        )
        if not len(found.test):
            raise DataError(
                f"{table} has no readable test image"
                + (
                    f". Check the column {columns['split']!r}."
                    if has_test
                    else ": it has one image or one group a class. Add images: at least two of one "
                    "class, better twenty of each."
                )
            )
        used = ", ".join(f"{kind} {name!r}" for kind, name in columns.items())
        notes.insert(0, f"Columns of the table that were used: {used}.")
        if groups is not None:
            notes += _group_notes(listed, groups, columns["group"], has_test=has_test)
        if lost := [name for name in listed.names if name not in found.classes]:
            notes.append(f"Classes without a readable image were left out: {shortlist(lost)}.")
        return found.dataset(
            progress,
            source=self.name,
            location=str(table),
            title=table.stem,
            description=f"{found.count:,} images named by a table.",
            split_note=_split_note(columns, options, found, has_test=has_test),
            notes=notes,
        )


SOURCE: Source = TableSource()


def _given(path: Path | None) -> Path:
    if path is None:
        raise DataError(
            "The source 'table' needs a file: tenfold run --data FILE.csv. Expected a table (.csv, "
            ".tsv, .jsonl) with a column of image files and one of labels."
        )
    return path


def _listed(
    table: Path, read: Rows, columns: Mapping[str, str]
) -> tuple[LabelledFiles[Path], Groups | None, list[str]]:
    """Give the files with labels and splits, their groups, and notes.

    Raises
    ------
    DataError
        Names the lines without a file, label or known split.
    """
    found: dict[Path, tuple[int, str, Role, str]] = {}
    problems: list[str] = []
    repeated = 0
    for row in read.rows:
        name, label = (row.values.get(columns[kind], "") for kind in ("path", "label"))
        split = row.values.get(columns["split"], "") if "split" in columns else "train"
        group = row.values.get(columns["group"], "") if "group" in columns else ""
        path, role = existing_file(table.parent, name), role_in_table(split)
        if path is None or role is None or label.lower() in _EMPTY:
            problem = _problem(table, columns, (name, label, split), is_file=path is not None)
            problems.append(f"line {row.line}: {problem}")
            continue
        one = (row.line, label, role, group)
        first = found.setdefault(path, one)
        if first is not one:
            repeated += 1
            if first[1:] != one[1:]:
                problems.append(
                    f"line {row.line}: {name} stands in line {first[0]} with another "
                    f"{'label' if first[1] != label else 'split or group'} already. Keep one."
                )
    if problems:
        shown = "".join(f"\n  {problem}" for problem in problems[:_MOST_PROBLEMS])
        more = len(problems) - _MOST_PROBLEMS
        raise DataError(
            f"{table} has {counted(len(problems), 'row')} that cannot be used:{shown}"
            + (f"\n  and {more:,} more" if more > 0 else "")
            + f"\nColumns: {', '.join(f'{kind} {name!r}' for kind, name in columns.items())}."
        )
    files = sorted(found, key=lambda file: natural_key(str(file)))
    names = tuple(sorted({found[file][1] for file in files}, key=natural_key))
    place = {name: index for index, name in enumerate(names)}
    roles = np.array([found[file][2] for file in files])
    notes = [f"{counted(repeated, 'row')} named an image again."] if repeated else []
    if not (roles == "train").any():
        raise DataError(
            f"{table} has no training images: the column {columns['split']!r} says "
            f"{shortlist(sorted({*roles.tolist()}))} alone."
        )
    if (roles == "validation").any() and not (roles == "test").any():
        roles[roles == "validation"] = "test"
        notes.append("There are no test images, so the validation images are the test images.")
    listed = LabelledFiles(
        tuple(files),
        names,
        np.array([place[found[file][1]] for file in files], dtype=np.int64),
        roles == "test",
        roles == "validation",
    )
    if "group" not in columns:
        return listed, None, notes
    return listed, _groups([found[file][3] for file in files]), notes


def _problem(
    table: Path, columns: Mapping[str, str], values: tuple[str, str, str], *, is_file: bool
) -> str:
    """Say what is wrong with a row's path, label or split."""
    name, label, split = values
    if name.lower() in _EMPTY:
        return f"no path in the column {columns['path']!r}. Fill it in, or remove the row."
    if not is_file:
        return f"{name} is no file. {_nearest_file(table.parent, name)}"
    if label.lower() in _EMPTY:
        return f"no label for {name} in the column {columns['label']!r}. Fill it in, or remove it."
    what = f"the split {split!r} is unknown" if split else "no split"
    return f"{what} (column {columns['split']!r}). Write train, validation or test."


def _nearest_file(folder: Path, name: str) -> str:
    """Say what may have been meant by a path that leads nowhere."""
    wanted = folder / name.replace("\\", "/")
    try:
        there = os.listdir(wanted.parent)
    except (OSError, ValueError):
        return f"Paths are relative to the table's folder, {folder}, where there is no such folder."
    near = nearest_names(wanted.name, there[:5000])
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Paths are relative to the table's folder, {folder}."


def _groups(names: Sequence[str]) -> Groups:
    """Give groups by their names; an image without one is alone."""
    first: dict[str, int] = {}
    return np.array(
        [
            first.setdefault(name, place) if name.lower() not in _EMPTY else place
            for place, name in enumerate(names)
        ],
        dtype=np.int64,
    )


def _group_notes(
    listed: LabelledFiles[Path], groups: Groups, column: str, *, has_test: bool
) -> Iterator[str]:
    """Say how many groups there are, and where they could not be kept together."""
    count = len(np.unique(groups))
    yield (
        f"{counted(count, 'group')} of the column {column!r}: images of one group stay together "
        "in what tenfold splits; a class of fewer groups than there are folds has them divided."
    )
    held_out = listed.is_test if has_test else np.zeros(len(groups), dtype=bool)
    shared = np.intersect1d(groups[held_out], groups[~held_out])
    if len(shared):
        yield (
            f"{counted(len(shared), 'group')} {'has' if len(shared) == 1 else 'have'} images in "
            "the test split and in training, by the table's own split: the scores are better than "
            "they would be on new groups."
        )
    labels = listed.labels[~held_out]
    pairs = np.unique(np.stack([labels, groups[~held_out]]), axis=1)[0]
    alone = [label for label in np.unique(labels).tolist() if (pairs == label).sum() == 1]
    if alone:
        names = [listed.names[label] for label in alone]
        yield (
            f"Images of {shortlist(names)} are of a single group, which had to be divided so that "
            "they can be learned and tested: their scores are better than they would be on new "
            "groups."
        )


def _usable_classes(
    table: Path, listed: LabelledFiles[Path], chosen: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Say which classes have training images among the chosen files; shape (classes,).

    Raises
    ------
    DataError
        If a class has test or validation images alone, or there is one class only.
    """
    is_held_out = listed.is_test | listed.is_validation
    train = listed.counts(chosen & ~is_held_out) > 0
    known = [name for name, is_in in zip(listed.names, train, strict=True) if is_in]
    held_out = listed.counts(chosen & is_held_out) > 0
    orphans = [name for name, is_in in zip(listed.names, held_out & ~train, strict=True) if is_in]
    if orphans:
        near = sorted({match for name in orphans for match in nearest_names(name, known)})
        hint = f" Did you mean {shortlist(near)}?" if near else ""
        raise DataError(
            f"{table} has classes without a training image: {shortlist(orphans)}. Training has "
            f"{shortlist(known)}.{hint} A class of the test or validation split must be in "
            "training too."
        )
    if len(known) < 2:
        raise DataError(
            f"{table} has images of one class only ({', '.join(known)}). A classifier needs at "
            "least two."
        )
    return train


def _split_note(
    columns: Mapping[str, str], options: SourceOptions, found: ReadFiles, *, has_test: bool
) -> str:
    if not has_test:
        is_grouped = "group" in columns
        return options.split_note("of each class, whole groups" if is_grouped else "of each class")
    train, validation, test = found.counts
    middle = f"{counted(validation, 'image')} for validation, " if validation else ""
    return (
        f"The table's own splits (column {columns['split']!r}): "
        f"{counted(train, 'image')} for training, {middle}{counted(test, 'image')} for testing."
    )
