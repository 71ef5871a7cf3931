"""WebDataset: shards in tar archives, in which files of one name belong together.

``000017.jpg`` is an image and ``000017.cls`` its label
(https://github.com/webdataset/webdataset#the-webdataset-format). Shards are given by a pattern,
``shards-{000..099}.tar``, or by their folder; their names may say the split.
"""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress
from tenfold.core.text import counted, shortlist
from tenfold.data.archives import TarReader
from tenfold.data.dataset import ImageDataset
from tenfold.data.random_access import Cursor, PlainBytes
from tenfold.data.sources.archive import kind_of_archive, open_archive
from tenfold.data.sources.archive_members import Archive, ArchiveFile
from tenfold.data.sources.folder_files import is_hidden, is_image_name, natural_key
from tenfold.data.sources.folder_splits import role_of
from tenfold.data.sources.labelled_files import MadeWhenAsked
from tenfold.data.sources.labelled_rows import Table, load_table
from tenfold.data.sources.parquet import split_of_file
from tenfold.data.sources.source import Source, SourceOptions, fingerprint_of_files
from tenfold.data.sources.table_rows import Rows, is_named, no_column, one_object, plain

_LABELS = (".cls", ".json", ".txt")
_TAR = ".tar"
_LOOKED_AT = 60
_MOST_SHARDS = 100_000
_MOST_NAMES = 100
_MOST_LABEL_BYTES = 2**20
_BRACES = re.compile(r"\{([0-9]+)\.\.([0-9]+)\}")
_LABEL, _SPLIT, _GROUP = "label", "split", "group"
_READING = 1
"""Raised when the same files give other classes, splits or pixels than before."""


class WebdatasetSource:
    """Tar archives whose members are named by sample: an image and, beside it, its label.

    The label is the text of ``.cls`` or ``.txt``, or a value in ``.json``. Images are read at their
    places in the shards.
    """

    name = "webdataset"
    needs_path = True
    is_of_image_files = True
    summary = "WebDataset: tar shards of images with .cls, .json or .txt labels"

    def recognises(self, path: Path) -> bool:
        """Say whether the first shard begins with images and labels of the same names."""
        try:
            shards = shards_of(path)
            return bool(shards) and _looks_like_shard(shards[0])
        except (OSError, DataError):
            return False

    def available(self) -> str | None:
        """Say no: shards must be named."""
        return None

    def fingerprint(self, path: Path | None) -> str:
        """Give a digest of the shards' names, sizes and times."""
        place = _given(path)
        shards = shards_of(place)
        root = _root(place)
        return sha256_of_json(["webdataset", _READING, fingerprint_of_files(root, shards)])

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Decode the images, and split them if the shards' names do not.

        Raises
        ------
        DataError
            If a shard is missing, cut off or damaged, an image has no label, or as the folder
            source says.
        """
        place = _given(path)
        root = _root(place)
        table, notes = _table(place, root, shards_of(place), options, progress)
        return load_table(
            table,
            options,
            progress,
            source=self.name,
            title=_BRACES.sub("", place.stem).strip("-_.") or place.stem,
            description="in WebDataset's shards",
            notes=notes,
        )


SOURCE: Source = WebdatasetSource()


def _given(path: Path | None) -> Path:
    if path is None:
        raise DataError(
            "The source 'webdataset' needs a path: tenfold run --data 'shards-{000..099}.tar'. "
            "Expected tar archives, or a folder of them, with images and .cls, .json or .txt files "
            "of the same names."
        )
    return path


def is_pattern(path: Path) -> bool:
    """Say whether a path names shards by numbers in braces."""
    return _BRACES.search(path.name) is not None


def are_there(path: Path) -> bool:
    """Say whether a path, or a shard that a pattern stands for, exists."""
    if path.exists() or not is_pattern(path):
        return path.exists()
    return any((path.parent / name).is_file() for name in expanded(path.name))


def shards_of(path: Path) -> list[Path]:
    """Give the shards that a path stands for: a pattern, a folder, or one archive.

    Raises
    ------
    DataError
        If one that a pattern names is not there.
    """
    if is_pattern(path) and not path.exists():
        shards = [path.parent / name for name in expanded(path.name)]
        missing = [shard for shard in shards if not shard.is_file()]
        if missing:
            names = shortlist([shard.name for shard in missing], 3)
            raise DataError(
                f"{path} stands for {counted(len(shards), 'shard')}, of which {len(missing):,} "
                f"are not there: {names}. Check the numbers in the braces."
            )
        return shards
    if path.is_dir():
        return sorted(_in_folder(path), key=lambda file: natural_key(file.as_posix()))
    return [path] if path.is_file() else []


def expanded(name: str) -> list[str]:
    """Give the names that numbers in braces stand for, as a shell does.

    Raises
    ------
    DataError
        If these are too many, or none.
    """
    names = [name]
    while (found := _BRACES.search(names[0])) is not None:
        first, last = found[1], found[2]
        numbers = range(int(first), int(last) + 1)
        if len(names) * len(numbers) > _MOST_SHARDS:
            raise DataError(
                f"{name} stands for more than {_MOST_SHARDS:,} shards. Check the numbers in the "
                "braces."
            )
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        names = [_BRACES.sub(f"{n:0{width}}", one, count=1) for one in names for n in numbers]
        if not names:
            raise DataError(f"{name} stands for no shard: {last} comes before {first}.")
    return names


def _in_folder(folder: Path) -> Iterator[Path]:
    """Give the tar archives in a folder and in those of splits in it."""
    for entry in os.scandir(folder):
        if is_hidden(entry.name):
            continue
        if entry.name.lower().endswith(_TAR) and entry.is_file():
            yield Path(entry.path)
        elif role_of(entry.name) and entry.is_dir():
            with os.scandir(entry.path) as inner:
                shards = [one for one in inner if one.name.lower().endswith(_TAR)]
                yield from (Path(one.path) for one in shards if one.is_file())


def _root(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _looks_like_shard(shard: Path) -> bool:
    """Say whether a tar archive begins with images that have a label of the same name beside.

    Text beside the images of a folder for each class is no label: the folder is.
    """
    if kind_of_archive(shard) != "tar":
        return False
    reader = TarReader(Cursor(PlainBytes(shard)), 2**62, shard, most_members=None)
    keys: dict[str, set[str]] = {kind: set() for kind in _LABELS}
    images: set[str] = set()
    with suppress(DataError):  # Of a shard that is cut off, what there is counts.
        for member in islice(reader.members(), _LOOKED_AT):
            key, ending = key_of(member.name)
            if member.is_file and is_image_name(member.name):
                images.add(key)
            elif member.is_file and ending in keys:
                keys[ending].add(key)
    if images & keys[".cls"]:
        return True
    folders = {key.rpartition("/")[0] for key in images}
    labelled = max(len(images & found) for found in keys.values())
    return len(folders) == 1 and 2 * labelled > len(images)


def key_of(name: str) -> tuple[str, str]:
    """Give a sample's name and what the member is to it; the name ends at its first full stop."""
    folder, _, file = name.rpartition("/")
    stem, dot, ending = file.partition(".")
    return (f"{folder}/{stem}" if folder else stem), f"{dot}{ending}".lower()


@dataclass
class _Samples:
    """The images of all shards, with what is said of them."""

    archives: list[Archive] = field(default_factory=list)
    shards: array[int] = field(default_factory=lambda: array("q"))
    members: array[int] = field(default_factory=lambda: array("q"))
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)
    """Names of values in the JSON files, some of them."""

    def image(self, place: int) -> ArchiveFile:
        """Give a sample's image."""
        return ArchiveFile(self.archives[self.shards[place]], self.members[place])

    def name(self, place: int) -> str:
        """Say what a sample is called in messages."""
        image = self.image(place)
        return f"{image.name} of {image.archive.path.name}"


def _table(
    place: Path, root: Path, shards: Sequence[Path], options: SourceOptions, progress: Progress
) -> tuple[Table, list[str]]:
    if not shards:
        raise DataError(f"{place} has no tar archive. Expected shards such as train-000.tar.")
    samples = _Samples()
    shared: dict[str, str] = {}
    unlabelled = 0
    with progress.task("Looking into shards", total=len(shards)) as task:
        for shard in shards:
            split = split_of_file(shard, root) or ""
            unlabelled += _take(samples, open_archive(shard), split, options, shared)
            task.advance()
    if not samples.labels and options.label_column is not None:
        raise DataError(no_column(place, options.label_column, "label", tuple(samples.names)))
    if not samples.labels:
        raise DataError(
            f"{place} has no image with a label. Expected files of one name beside each other: "
            "000017.jpg, and 000017.cls, 000017.json or 000017.txt with its label."
        )
    columns = {_LABEL: samples.labels}
    kinds = {"label": _LABEL}
    if (all(samples.splits) and len(shards) > 1) or options.split_column is not None:
        columns[_SPLIT], kinds["split"] = samples.splits, _SPLIT
    if any(samples.groups):
        columns[_GROUP], kinds["group"] = samples.groups, _GROUP
    notes = []
    if unlabelled:
        notes.append(f"{counted(unlabelled, 'image')} without a label beside were not used.")
    places = range(len(samples.members))
    images = MadeWhenAsked(places, samples.image)
    rows = Rows(columns, MadeWhenAsked(places, samples.name), "sample")
    is_asked = "split" not in kinds or options.split_column is not None
    split_by = "" if is_asked else "by the names of the shards"
    return Table(place, rows, kinds, images=images, split_by=split_by), notes


def _take(
    samples: _Samples,
    archive: Archive,
    split: str,
    options: SourceOptions,
    shared: dict[str, str],
) -> int:
    """Add a shard's samples; gives how many images have no label beside."""
    images: dict[str, int] = {}
    others: dict[str, dict[str, int]] = {}
    for number, name in enumerate(archive.names):
        key, ending = key_of(name)
        if is_image_name(name) and ending.count(".") == 1:  # 1.mask.png is no image of its own.
            if key in images:
                raise DataError(
                    f"{archive.path} has two images of one name: {archive.names[images[key]]} "
                    f"and {name}. "
                    "A sample is one image and its label; give each its own name."
                )
            images[key] = number
        elif ending in _LABELS:
            others.setdefault(key, {})[ending] = number
    samples.archives.append(archive)
    unlabelled = 0
    for key, number in images.items():
        beside = others.get(key, {})
        values = _object(archive, beside[".json"]) if ".json" in beside else {}
        if len(samples.names) < _MOST_NAMES:
            samples.names.update(dict.fromkeys(values))
        found = _said(archive, beside, values, options)
        if found is None:
            unlabelled += 1
            continue
        label, own_split, group = found
        samples.shards.append(len(samples.archives) - 1)
        samples.members.append(number)
        samples.labels.append(one_object(shared, label))
        samples.splits.append(one_object(shared, own_split or split))
        samples.groups.append(one_object(shared, group))
    return unlabelled


def _said(
    archive: Archive, beside: dict[str, int], values: dict[str, Any], options: SourceOptions
) -> tuple[str, str, str] | None:
    """Give label, split and group of what lies beside an image; None if there is nothing."""
    label = None
    if options.label_column is None:
        text = next((beside[kind] for kind in (".cls", ".txt") if kind in beside), None)
        label = None if text is None else _text(archive, text)
    if label is None:
        label = _value(values, "label", options.label_column)
    if label is None:
        return None
    split = _value(values, "split", options.split_column) if options.split_column else None
    group = _value(values, "group", options.group_column)
    return label, split or "", group or ""


def _value(values: dict[str, Any], kind: str, asked: str | None) -> str | None:
    if asked is not None:
        return plain(values[asked]) if asked in values else None
    return next((plain(value) for name, value in values.items() if is_named(kind, name)), None)


def _object(archive: Archive, number: int) -> dict[str, Any]:
    try:
        values = json.loads(_text(archive, number))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{archive.path}/{archive.names[number]} is no JSON ({str(error)[:100]}). Expected an "
            'object such as {"label": "cat"}.'
        ) from None
    return values if isinstance(values, dict) else {}


def _text(archive: Archive, number: int) -> str:
    try:
        content = archive.read(number)
        if len(content) > _MOST_LABEL_BYTES:
            raise ValueError(f"{len(content):,} bytes are no label")
        return content.decode("utf-8-sig").strip()
    except (OSError, ValueError) as error:
        raise DataError(
            f"{archive.path}/{archive.names[number]} is not readable as a label: {error}."
        ) from error
