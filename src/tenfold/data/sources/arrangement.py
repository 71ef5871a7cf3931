"""What stays together among image files, and in what order they were taken: the rules applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.core.text import counted, shortlist
from tenfold.data.dataset import Grouping, Groups, Indices, Labels
from tenfold.data.sources.grouping import (
    NamedImages,
    Rule,
    group_notes,
    group_values,
    order_values,
    parse_rule,
)
from tenfold.data.sources.source import SourceOptions
from tenfold.data.splits import newest_part, regrouped, stratified_split
from tenfold.data.store import AnyImages, some_images

if TYPE_CHECKING:  # Pillow is not needed to list sources
    from tenfold.data.images.exif import Taken

Setting = Literal["group_by", "order_by"]
_SETTINGS: tuple[Setting, ...] = ("group_by", "order_by")
_NONE = frozenset({"", "nan", "null"})


@dataclass(frozen=True)
class Arrangement:
    """What belongs together among N files, and their order.

    Parameters
    ----------
    grouping
        Of all files; None if nothing says so and nothing was found.
    order
        int64, shape (N,): rank in time; None without a rule.
    order_words
        What the order goes by.
    is_mixed
        Whether a half of the test images is drawn image by image, to show what that flatters.
    notes
        What a reader should know of it.
    """

    grouping: Grouping | None = None
    order: npt.NDArray[np.int64] | None = None
    order_words: str = ""
    is_mixed: bool = False
    notes: tuple[str, ...] = ()

    def split(
        self,
        labels: Labels,
        rows: Indices,
        copies: Groups,
        fraction: float,
        rng: np.random.Generator,
    ) -> tuple[Indices, Indices]:
        """Give the places, among some of the files, of training and test images.

        Parameters
        ----------
        labels
            int64, shape (n,): of these files.
        rows
            Which of the N files they are.
        copies
            Shape (n,): those that must be in one split, the grouping's joined unless `is_mixed`.
        fraction
            Share of the test images.
        rng
            Where the order comes from.
        """
        if self.order is not None:
            is_test = newest_part(self.order[rows], fraction, copies)
            return rng.permutation(np.flatnonzero(~is_test)), rng.permutation(
                np.flatnonzero(is_test)
            )
        if not self.is_mixed:
            return stratified_split(labels, fraction, rng, copies)
        assert self.grouping is not None
        series = regrouped(self.grouping.groups, rows)
        rest, whole = stratified_split(labels, fraction / 2, rng, series)
        train, drawn = stratified_split(
            labels[rest], fraction / (2 - fraction), rng, regrouped(copies, rest)
        )
        return rest[train], rng.permutation(np.concatenate([whole, rest[drawn]]))

    def drawn(self, options: SourceOptions, default: str) -> str:
        """Say how tenfold drew the test images."""
        if self.order is not None:
            return (
                f"Split by tenfold: the newest {options.test_fraction:.0%} by {self.order_words} "
                "are the test images."
            )
        if self.is_mixed:
            return (
                f"{options.split_note('of each class')} Half of them are whole series, of which "
                "training has no image; the other half was drawn image by image, to measure what "
                "that would flatter. Whole series alone: --group-by series."
            )
        if self.grouping is not None:
            return options.split_note("of each class, whole groups")
        return options.split_note(default) if default else options.split_note()


class FileRules:
    """The rules that a user gave, over the files of a data set.

    Parameters
    ----------
    options
        Hold the rules.
    names
        Paths of N files below the data set.
    columns
        Values of a table's columns, a value a file, by setting; None where there is no table.
    column_names
        What the table calls them.

    Raises
    ------
    DataError
        If a rule finds nothing, as far as that is known before files are opened.
    """

    def __init__(
        self,
        options: SourceOptions,
        names: Sequence[str],
        columns: Mapping[Setting, Sequence[str]] | None,
        column_names: Mapping[Setting, str],
    ) -> None:
        self._options, self._names = options, names
        self._rules: dict[Setting, Rule] = {}
        self._values: dict[Setting, Sequence[str]] = {}
        for setting in _SETTINGS:
            text = options.group_by if setting == "group_by" else options.order_by
            rule = None if text is None else parse_rule(text, setting)
            if columns is not None and setting in columns and _may_be_column(rule):
                name = column_names[setting]
                self._rules[setting] = Rule(name, "column", name)
                self._values[setting] = columns[setting]
            elif rule is not None:
                self._rules[setting] = rule
                if rule.kind in ("column", "path", "folder", "name"):
                    self._values[setting] = NamedImages(names).values(rule, setting)

    def arrangement(  # noqa: PLR0917 -- what is known of files, one after the other
        self,
        taken: dict[int, Taken],
        rows: Indices,
        images: AnyImages,
        labels: Labels,
        class_names: Sequence[str],
        is_test: npt.NDArray[np.bool_] | None,
    ) -> Arrangement:
        """Apply the rules to the files that could be read.

        Parameters
        ----------
        taken
            EXIF by file.
        rows
            Files that could be read.
        images, labels, class_names
            Of all files.
        is_test
            The data set's own test images; None where tenfold splits.

        Raises
        ------
        DataError
            If a rule finds nothing.
        """
        for setting, rule in self._rules.items():
            if rule.kind == "exif":
                self._values[setting] = NamedImages(self._names, taken).values(rule, setting)
        grouping, notes = self._grouping(taken, rows, images, labels, class_names, is_test)
        order, words = None, ""
        if "order_by" in self._values:
            values, words = self._values["order_by"], self._rules["order_by"].words
            order = order_values(values)
            if len(np.unique(order[rows])) < 2:
                raise DataError(
                    f"--order-by {self._rules['order_by'].text} says the same of all images "
                    f"({shortlist(sorted(set(values)), 1) or 'nothing'}), so none is newer than "
                    "another. Order by something else."
                )
            unknown = sum(values[row].lower() in _NONE for row in rows.tolist())
            if unknown:
                notes.append(
                    f"{counted(unknown, 'image')} without {words}: taken for older than all others."
                )
            if is_test is not None:
                notes.append(
                    "The data set's own test split stays as it is, whatever is newer; the order "
                    "decides the validation images and the folds alone."
                )
        is_mixed = (
            grouping is not None
            and grouping.is_found
            and is_test is None
            and order is None
            and "group_by" not in self._rules
        )
        return Arrangement(grouping, order, words, is_mixed, tuple(notes))

    def _grouping(  # noqa: PLR0917 -- as above
        self,
        taken: dict[int, Taken],
        rows: Indices,
        images: AnyImages,
        labels: Labels,
        class_names: Sequence[str],
        is_test: npt.NDArray[np.bool_] | None,
    ) -> tuple[Grouping | None, list[str]]:
        rule = self._rules.get("group_by")
        if rule is not None and rule.kind == "none":
            return None, []
        if rule is None or rule.kind == "series":
            found = self._found(taken, rows, images, labels)
            if found is None:
                if rule is not None:
                    raise DataError(
                        "--group-by series finds none: no images whose names differ by a number "
                        "only, or that were taken within minutes, are more alike than chance. "
                        "Leave it out, or say what stays together, as --group-by path:2."
                    )
                return None, []
            return found, [_found_note(found)]
        values = self._values["group_by"]
        groups = group_values(values)
        notes = group_notes(
            rule.words,
            regrouped(groups, rows),
            labels[rows],
            class_names,
            None if is_test is None else is_test[rows],
            lambda place: values[int(rows[place])] or self._names[int(rows[place])],
            sum(values[row].lower() in _NONE for row in rows.tolist()),
        )
        return Grouping(groups, rule.words), list(notes)

    def _found(
        self, taken: dict[int, Taken], rows: Indices, images: AnyImages, labels: Labels
    ) -> Grouping | None:
        """Look for series among the files that could be read."""
        find: Any = self._options.find_series
        if find is None:
            return None
        place_of = {row: place for place, row in enumerate(rows.tolist())}
        found: Grouping | None = find(
            images if len(rows) == len(labels) else some_images(images, rows),
            labels[rows],
            [self._names[row] for row in rows.tolist()],
            {place_of[row]: one for row, one in taken.items() if row in place_of},
        )
        if found is None:
            return None
        groups = np.arange(len(labels))
        groups[rows] = rows[found.groups]
        return Grouping(groups, found.by, is_found=True)


def _may_be_column(rule: Rule | None) -> bool:
    return rule is None or rule.kind == "column"


def _found_note(found: Grouping) -> str:
    sizes = np.unique(found.groups, return_counts=True)[1]
    series = int((sizes > 1).sum())
    return (
        f"{counted(series, 'series', 'series')} of {int(sizes[sizes > 1].sum()):,} images found by "
        f"{found.by}: neighbours are more alike than chance makes images of their classes. "
        "Validation images and folds hold whole series. If they are none: --group-by none."
    )
