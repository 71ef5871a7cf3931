"""Rules that say which images stay together, and in what order they were taken.

``--group-by`` and ``--order-by`` take a column of a table, or a rule over what every image file
has: its path, its name, its EXIF. Groups are whole in every split and fold that tenfold makes;
splits that a data set brings stay as they are, and a group that spans them is said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, SettingsError, nearest_names
from tenfold.core.text import counted, shortlist
from tenfold.data.dataset import Groups, Labels
from tenfold.data.sources.folder_files import natural_key

if TYPE_CHECKING:  # Pillow is not needed to list sources
    from tenfold.data.images.exif import Taken

Kind = Literal["column", "path", "folder", "name", "exif", "series", "none"]

GROUP_RULES = (
    "a column of a table; folder; path:2 (the second part of the path below the data set, path:-1 "
    "the folder that the image lies in); name:(\\w+)_\\d+ (a pattern with one group); exif:camera; "
    "exif:day; series (those that tenfold finds); none (look for none)"
)
ORDER_RULES = (
    "a column of a table; exif:time; name:(\\d{8}) (a pattern with one group); path:2 (a part of "
    "the path)"
)
_EXIF = {"group_by": ("camera", "day"), "order_by": ("time",)}
_PLAIN: dict[str, tuple[Kind, ...]] = {"group_by": ("folder", "series", "none"), "order_by": ()}
_EMPTY = frozenset({"", "nan", "null"})
_MOST_SHARE = 0.5
"""Of all images that one group may hold before it is said that little is left to tell apart."""


@dataclass(frozen=True)
class Rule:
    """What a rule asks for.

    Parameters
    ----------
    text
        As it was written.
    kind
        What is looked at.
    value
        The column, the pattern, the number of the part, or the field of EXIF; empty for none.
    """

    text: str
    kind: Kind
    value: str = ""

    @property
    def words(self) -> str:
        """Give what it goes by, in words."""
        if self.kind == "path":
            return f"part {self.value} of the path"
        return {
            "column": f"the column {self.value!r}",
            "folder": "the folder that an image lies in",
            "name": f"the pattern {self.value} in the file's name",
            "exif": f"the {self.value} in EXIF",
            "series": "the series that were found",
            "none": "nothing",
        }[self.kind]


def parse_rule(text: str, setting: Literal["group_by", "order_by"]) -> Rule:
    """Understand a rule.

    Raises
    ------
    SettingsError
        If it is none; says which there are.
    """
    allowed = GROUP_RULES if setting == "group_by" else ORDER_RULES
    head, colon, value = text.partition(":")
    option = f"--{setting.replace('_', '-')} (data.{setting})"
    if not text.strip():
        raise SettingsError(f"{option} is empty. Give one of: {allowed}.")
    for plain in _PLAIN[setting]:
        if text == plain:
            return Rule(text, plain)
    if not colon:
        return Rule(text, "column", text)
    if head == "column" and value:
        return Rule(text, "column", value)
    if head == "path":
        if re.fullmatch(r"-?[1-9][0-9]{0,2}", value) is None:
            raise SettingsError(
                f"{option} is {text!r}: after path: stands a number, 1 for the first part of the "
                "path below the data set, -1 for the folder that the image lies in."
            )
        return Rule(text, "path", value)
    if head == "name":
        return Rule(text, "name", _checked_pattern(value, option, text))
    if head == "exif" and value in _EXIF[setting]:
        return Rule(text, "exif", value)
    fields = [f"exif:{name}" for name in _EXIF[setting]]
    near = nearest_names(text, [*_PLAIN[setting], *fields])
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise SettingsError(f"{option} is {text!r}, which is no rule.{hint} Rules: {allowed}.")


def _checked_pattern(pattern: str, option: str, text: str) -> str:
    try:
        found = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise SettingsError(
            f"{option} is {text!r}, whose pattern is no regular expression ({error}). For example: "
            r"name:(\w+)_\d+"
        ) from None
    if found.groups != 1:
        raise SettingsError(
            f"{option} is {text!r}, whose pattern has {counted(found.groups, 'group')} in brackets "
            r"instead of one: what is in it is the value. For example: name:(\w+)_\d+"
        )
    return pattern


@dataclass(frozen=True)
class NamedImages:
    """What is known of image files before their pixels count.

    Parameters
    ----------
    names
        Paths of N images below the data set, as ``train/cat/1.jpg``.
    taken
        EXIF of those that have some, by their places; None before the files were looked at.
    """

    names: Sequence[str]
    taken: dict[int, Taken] | None = None

    def values(self, rule: Rule, setting: Literal["group_by", "order_by"]) -> list[str]:
        """Give what a rule says of each image; empty where it says nothing.

        Raises
        ------
        DataError
            If it says nothing of any image.
        """
        option = f"--{setting.replace('_', '-')} {rule.text}"
        if rule.kind == "column":
            raise DataError(
                f"{option} names a column, but these images come without a table. For images in "
                f"folders: {GROUP_RULES if setting == 'group_by' else ORDER_RULES}."
            )
        values = [self._value(rule, place) for place in range(len(self.names))]
        if values and not any(values):
            raise DataError(self._why_nothing(rule, option))
        return values

    def _value(self, rule: Rule, place: int) -> str:
        name = self.names[place]
        if rule.kind == "folder":
            return name.rpartition("/")[0] or "."
        if rule.kind == "path":
            folders = name.split("/")[:-1]
            number = int(rule.value)
            index = number - 1 if number > 0 else number
            return folders[index] if -len(folders) <= index < len(folders) else ""
        if rule.kind == "name":
            found = re.search(rule.value, name.rpartition("/")[2])
            return (found[1] or "") if found else ""
        assert rule.kind == "exif"
        assert self.taken is not None
        taken = self.taken.get(place)
        if taken is None:
            return ""
        return {"camera": taken.camera, "day": taken.time[:10], "time": taken.time}[rule.value]

    def _why_nothing(self, rule: Rule, option: str) -> str:
        example = self.names[0]
        if rule.kind == "exif":
            field = "camera" if rule.value == "camera" else "time"
            return (
                f"{option} finds nothing: none of the {len(self.names):,} images says its {field} "
                "in EXIF (programs that resize images often remove it). Group by the path or the "
                r"name instead, for example path:2 or name:(\w+)_\d+."
            )
        if rule.kind == "path":
            parts = example.split("/")[:-1]
            numbered = ", ".join(f"path:{place} is {part}" for place, part in enumerate(parts, 1))
            return (
                f"{option} finds nothing: no image lies so deep. Of {example}, "
                f"{numbered or 'there is no folder'}."
            )
        names = list(dict.fromkeys(name.rpartition("/")[2] for name in self.names[:200]))
        return (
            f"{option} finds nothing: the pattern is in none of "
            f"{counted(len(self.names), 'name')}, such as {shortlist(names, 3)}."
        )


def group_values(values: Sequence[str]) -> Groups:
    """Give groups by their names; an image without one is alone."""
    first: dict[str, int] = {}
    return np.array(
        [
            first.setdefault(name, place) if name.lower() not in _EMPTY else place
            for place, name in enumerate(values)
        ],
        dtype=np.int64,
    )


def order_values(values: Sequence[str]) -> npt.NDArray[np.int64]:
    """Give each image's rank by its value, naturally sorted, the same for equal values.

    What has no value comes first: the oldest, of which nothing is known.
    """
    known = sorted(set(values), key=lambda value: (bool(value), natural_key(value)))
    rank = {value: place for place, value in enumerate(known)}
    return np.array([rank[value] for value in values], dtype=np.int64)


def group_notes(  # noqa: PLR0917 -- all by name would say no more
    rule_words: str,
    groups: Groups,
    labels: Labels,
    class_names: Sequence[str],
    is_test: npt.NDArray[np.bool_] | None,
    name_of: Callable[[int], str],
    unnamed: int = 0,
) -> Iterator[str]:
    """Say how many groups there are, and where they could not be kept together.

    Parameters
    ----------
    rule_words
        What the groups go by.
    groups, labels
        Of all images.
    class_names
        By label.
    is_test
        The data set's own test images; None where tenfold splits.
    name_of
        Gives the name of the group whose first image has this place.
    unnamed
        Images of no group.
    """
    numbers, sizes = np.unique(groups, return_counts=True)
    yield (
        f"{counted(len(numbers), 'group')} of {rule_words}: images of one group stay together "
        "in what tenfold splits; a class of fewer groups than there are folds has them divided."
    )
    if unnamed:
        yield f"{counted(unnamed, 'image')} of no group: each is a group of its own."
    largest = int(sizes.max())
    if len(numbers) == 1 or largest > _MOST_SHARE * len(groups):
        yield (
            f"One group ({name_of(int(numbers[sizes.argmax()]))}) holds {largest:,} of "
            f"{counted(len(groups), 'image')}: so few others cannot say how good the model is on "
            "new groups. Group by something finer, if there is such a thing."
        )
    held_out = np.zeros(len(groups), dtype=bool) if is_test is None else is_test
    shared = np.intersect1d(groups[held_out], groups[~held_out])
    if len(shared):
        images = int(np.isin(groups[held_out], shared).sum())
        yield (
            f"{counted(len(shared), 'group')} {'has' if len(shared) == 1 else 'have'} images in "
            f"the test split and in training, by the data set's own split ({images:,} of "
            f"{counted(int(held_out.sum()), 'test image')}): scores on these are better than they "
            "would be on new groups, and are shown apart."
        )
    own = labels[~held_out]
    pairs = np.unique(np.stack([own, groups[~held_out]]), axis=1)[0]
    alone = [label for label in np.unique(own).tolist() if (pairs == label).sum() == 1]
    if alone:
        yield (
            f"Images of {shortlist([class_names[label] for label in alone])} are of a single "
            "group, which had to be divided so that they can be learned and tested: their scores "
            "are better than they would be on new groups."
        )


def below(root: str, name: str) -> str:
    """Give a path below a data set, with forward slashes; one that lies elsewhere as it is."""
    start = root.rstrip("/" + os.sep) + os.sep
    return name.removeprefix(start).replace(os.sep, "/")
