"""A table's rows as a data set: what is checked of each, and what is said of all."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.progress import Progress
from tenfold.core.text import counted, shortlist
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.arrangement import Setting
from tenfold.data.sources.folder_files import natural_key, natural_text
from tenfold.data.sources.folder_splits import Role
from tenfold.data.sources.labelled_files import LabelledFiles, ReadFiles, read_labelled_files
from tenfold.data.sources.source import SourceOptions
from tenfold.data.sources.table_files import NamedFiles
from tenfold.data.sources.table_rows import Rows, role_in_table

if TYPE_CHECKING:  # Pillow is not needed to list sources
    from tenfold.data.images.decoding import EncodedImage

_MOST_PROBLEMS = 5  # More in one message are not read by anyone.
_EMPTY = frozenset({"", "nan", "null"})
_RULES: dict[Setting, str] = {"group_by": "group", "order_by": "order"}
"""What a rule reads where it is a column, by its setting."""
_ROLES: tuple[Role, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Table:
    """A table that was understood.

    Parameters
    ----------
    place
        The table, for messages.
    rows
        Its values.
    columns
        Which is the ``label`` and, if there are any, ``path``, ``split``, ``group`` and ``order``.
    files
        Where the column of paths leads; None if `images` are there.
    images
        The images themselves, one a row.
    location
        Of the data set; None for `place`.
    split_by
        What says the split, if no column does.
    """

    place: Path
    rows: Rows
    columns: Mapping[str, str]
    files: NamedFiles | None = None
    images: Sequence[EncodedImage] | None = None
    location: Path | None = None
    split_by: str = ""

    def column(self, kind: str) -> Sequence[str] | None:
        """Give the values of a column; None if there is no such column."""
        name = self.columns.get(kind)
        return self.rows.columns.get(name) if name is not None else None

    @property
    def used(self) -> str:
        """Give the columns that are used, in words."""
        shown = {**self.columns}
        if self.split_by:
            del shown["split"]
        return ", ".join(f"{kind} {name!r}" for kind, name in shown.items())


def load_table(
    table: Table,
    options: SourceOptions,
    progress: Progress,
    *,
    source: str,
    title: str,
    description: str,
    notes: Sequence[str] = (),
) -> ImageDataset:
    """Decode the images of a table, and split them if it does not.

    Parameters
    ----------
    source, title
        As the data set says them.
    description
        What follows the number of images: ``named by a table``.
    notes
        What was found before.

    Raises
    ------
    DataError
        If a row has no file, label or known split, or as the folder source says.
    """
    listed, columns, found_notes = _listed(table)
    has_test = bool(listed.is_test.any())
    found = read_labelled_files(
        listed,
        options,
        progress,
        usable_classes=partial(_usable_classes, table.place, listed),
        has_test=has_test,
        root=str(table.place if table.place.is_dir() else table.place.parent),
        columns=columns,
        column_names={
            setting: table.columns[kind] for setting, kind in _RULES.items() if setting in columns
        },
    )
    if not len(found.test):
        raise DataError(
            f"{table.place} has no readable test image"
            + (
                f". Check the column {table.columns['split']!r}."
                if has_test
                else ": it has one image or one group a class. Add images: at least two of one "
                "class, better twenty of each."
            )
        )
    all_notes = [f"Columns of the table that were used: {table.used}.", *notes, *found_notes]
    if lost := [name for name in listed.names if name not in found.classes]:
        all_notes.append(f"Classes without a readable image were left out: {shortlist(lost)}.")
    return found.dataset(
        progress,
        source=source,
        location=str(table.location or table.place),
        title=title,
        description=f"{found.count:,} images {description}.",
        split_note=_split_note(table, options, found, has_test=has_test),
        notes=all_notes,
    )


@dataclass
class _Problems:
    """What is wrong with rows: the first few, and how many there are."""

    table: Table
    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, place: int, problem: str) -> None:
        self.count += 1
        if len(self.shown) < _MOST_PROBLEMS:
            rows = self.table.rows
            self.shown.append(f"\n  {rows.unit} {rows.lines[place]}: {problem}")

    def check(self) -> None:
        """Raise an error if there are any."""
        if not self.count:
            return
        more = self.count - _MOST_PROBLEMS
        raise DataError(
            f"{self.table.place} has {counted(self.count, 'row')} that cannot be used:"
            + "".join(self.shown)
            + (f"\n  and {more:,} more" if more > 0 else "")
            + f"\nColumns: {self.table.used}."
        )


def _listed(
    table: Table,
) -> tuple[LabelledFiles[EncodedImage], dict[Setting, list[str]], list[str]]:
    """Give the files with labels and splits, what columns say of groups and order, and notes.

    Raises
    ------
    DataError
        Names the lines without a file, label or known split.
    """
    paths, labels, splits, groups = map(table.column, ("path", "label", "split", "group"))
    assert labels is not None
    roles = {
        value: _ROLES.index(role) if (role := role_in_table(value)) else -1
        for value in set(splits or ())
    }
    problems = _Problems(table)
    first: dict[str, int] = {}  # The row of each file.
    rows = array("q")
    repeated = 0
    for place, label in enumerate(labels):
        name = paths[place] if paths is not None else ""
        file = table.files.find(name) if table.files is not None else name
        role_number = roles[splits[place]] if splits is not None else 0
        if file is None or role_number < 0 or label.lower() in _EMPTY:
            values = name, label, splits[place] if splits is not None else ""
            problems.add(
                place,
                _problem(table.columns, values, table.files, is_file=file is not None),
            )
        elif table.files is None:
            rows.append(place)
        elif (earlier := first.setdefault(file, place)) != place:
            repeated += 1
            others = [values for values in (splits, groups) if values is not None]
            is_same = all(values[place] == values[earlier] for values in others)
            if label != labels[earlier] or not is_same:
                problems.add(
                    place,
                    f"{name} stands in {table.rows.unit} {table.rows.lines[earlier]} with another "
                    f"{'label' if label != labels[earlier] else 'split or group'} already. Keep "
                    "one.",
                )
    problems.check()
    images: Sequence[EncodedImage]
    if table.files is not None:
        names = _in_order(first, table.place.parent)
        rows = array("q", [first[name] for name in names])
        images = table.files.images(names)
    else:
        assert table.images is not None
        assert len(rows) == len(table.images)  # No row was left out.
        images = table.images
    used = np.array(rows, dtype=np.int64)
    classes = tuple(sorted(set(labels), key=natural_key))
    number = {name: index for index, name in enumerate(classes)}
    label_of = np.array([number[label] for label in labels], dtype=np.int64)[used]
    role_of = (
        np.zeros(len(used), dtype=np.int8)
        if splits is None
        else np.array([roles[split] for split in splits], dtype=np.int8)[used]
    )
    notes = [f"{counted(repeated, 'row')} named an image again."] if repeated else []
    there = {_ROLES[role] for role in np.unique(role_of).tolist()}
    if "train" not in there:
        raise DataError(
            f"{table.place} has no training images: the column {table.columns['split']!r} says "
            f"{shortlist(sorted(there))} alone."
        )
    if "validation" in there and "test" not in there:
        role_of[role_of == _ROLES.index("validation")] = _ROLES.index("test")
        notes.append("There are no test images, so the validation images are the test images.")
    listed = LabelledFiles(
        images,
        classes,
        label_of,
        role_of == _ROLES.index("test"),
        role_of == _ROLES.index("validation"),
    )
    columns = {
        setting: [said[row] for row in rows]
        for setting, kind in _RULES.items()
        if (said := table.column(kind)) is not None
    }
    return listed, columns, notes


def _in_order(names: Mapping[str, int], folder: Path) -> list[str]:
    """Sort files naturally by their paths."""
    ordered = sorted(names)
    if any(map(os.path.isabs, ordered)):  # A few lie elsewhere: compare whole paths.
        return sorted(ordered, key=lambda name: natural_key(os.path.join(folder, name)))
    return sorted(ordered, key=natural_text)


def _problem(
    columns: Mapping[str, str],
    values: tuple[str, str, str],
    files: NamedFiles | None,
    *,
    is_file: bool,
) -> str:
    """Say what is wrong with a row's path, label or split."""
    name, label, split = values
    if files is not None and name.lower() in _EMPTY:
        return f"no path in the column {columns['path']!r}. Fill it in, or remove the row."
    if files is not None and not is_file:
        return f"{name} is no file. {files.nearest(name)}"
    if label.lower() in _EMPTY:
        what = f"no label for {name}" if name else "no label"
        return f"{what} in the column {columns['label']!r}. Fill it in, or remove it."
    what = f"the split {split!r} is unknown" if split else "no split"
    return f"{what} (column {columns['split']!r}). Write train, validation or test."


def _usable_classes(
    table: Path, listed: LabelledFiles[EncodedImage], chosen: npt.NDArray[np.bool_]
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


def _split_note(table: Table, options: SourceOptions, found: ReadFiles, *, has_test: bool) -> str:
    if not has_test:
        return found.arranged.drawn(options, "of each class")
    train, validation, test = found.counts
    middle = f"{counted(validation, 'image')} for validation, " if validation else ""
    by = table.split_by or f"column {table.columns['split']!r}"
    return (
        f"The {'data set' if table.split_by else 'table'}'s own splits ({by}): "
        f"{counted(train, 'image')} for training, {middle}{counted(test, 'image')} for testing."
    )
