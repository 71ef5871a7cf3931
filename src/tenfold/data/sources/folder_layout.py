"""Which files of a folder are which class of which split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tenfold.core.errors import DataError
from tenfold.core.records.data import LeftOutImage
from tenfold.core.text import counted, shortlist
from tenfold.data.images.formats import IMAGE_SUFFIXES
from tenfold.data.sources.folder_files import (
    FolderScan,
    ScannedFolder,
    endings,
    natural_key,
    remedy,
)
from tenfold.data.sources.folder_splits import ClassFolders, FolderLevel, Role, find_level

if TYPE_CHECKING:  # Pillow is not needed to list sources
    from tenfold.data.images.decoding import EncodedImage

ClassFiles = dict[str, list["EncodedImage"]]
"""The files of each class by its name."""
LAYOUTS = (
    "a folder with one sub-folder of images for each class: DATA/cat/1.png, DATA/dog/1.png",
    "the same in two or three splits: DATA/train/cat/1.png, DATA/test/cat/1.png, "
    "DATA/validation/cat/1.png (or DATA/cat/train/1.png, ...); training, valid, val, testing and "
    "other usual names will do, in any case",
)
"""The folder layouts understood, for messages."""

_MOST_NAMES = 10  # More in one sentence are not read by anyone.


@dataclass(frozen=True)
class FolderLayout:
    """The image files of a data set by split and class.

    Parameters
    ----------
    train
        Files of each class; classes in natural order, a class without files included.
    validation
        The same for the validation split that is given beside a test split; empty without.
    test
        The same for the test split; None if the folder has none, so that we make one.
    folder
        Where the classes, or the splits, lie side by side.
    names
        Name of each split's folder with a slash, several joined; empty without splits.
    empty
        What is in the class folders without an image, in words, by class.
    left_out
        Folders and links that could not be looked into.
    notes
        What was found besides and what was done about it.
    """

    train: ClassFiles
    validation: ClassFiles
    test: ClassFiles | None
    folder: Path
    names: dict[Role, str]
    empty: dict[str, str]
    left_out: tuple[LeftOutImage, ...]
    notes: tuple[str, ...]

    def named(self, role: Role) -> str:
        """Give the name of a split's folder, for messages: ``Testing/``."""
        return self.names.get(role, f"{role}/")


def read_layout(root: Path) -> FolderLayout:
    """Find out how the images below `root` are arranged; opens none.

    `tenfold.data.sources.folder_splits` says where classes and splits are looked for.

    Raises
    ------
    DataError
        If `root` is no folder, or cannot be read, or has no sub-folders or no images, or is one of
        several data sets, or has splits without classes or without training images.
    """
    scan = FolderScan()
    try:
        tree = scan.tree(root)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {error.strerror}.") from error
    return layout_of(tree, scan.left_out)


def layout_of(tree: ScannedFolder, left_out: Sequence[LeftOutImage]) -> FolderLayout:
    """Find out how the images of a tree are arranged, wherever it lies.

    Parameters
    ----------
    tree
        All that was found.
    left_out
        What could not be looked into.

    Raises
    ------
    DataError
        As `read_layout`.
    """
    if not tree.folders and not tree.own:
        raise DataError(f"{tree.path} has no sub-folders. Expected {'; or '.join(LAYOUTS)}.")
    if not tree.image_count:
        raise DataError(_no_images(tree))
    level = find_level(tree)
    splits = {role: _files(found) for role, found in level.classes.items()}
    used = sum(len(files) for found in splits.values() for files in found.values())
    return FolderLayout(
        train=splits["train"],
        validation=splits.get("validation", {}),
        test=splits.get("test"),
        folder=level.folder.path,
        names=level.names,
        empty=_empty_classes(level),
        left_out=tuple(left_out),
        notes=(*level.notes, *_notes(tree, level, used)),
    )


def _files(classes: ClassFolders) -> ClassFiles:
    return {
        name: [file for folder in classes[name] for file in folder.all_images()]
        for name in sorted(classes, key=natural_key)
    }


def _empty_classes(level: FolderLevel) -> dict[str, str]:
    """Say what is in the class folders that have no image in any split."""
    everywhere: ClassFolders = {}
    for classes in level.classes.values():
        for name, folders in classes.items():
            everywhere.setdefault(name, []).extend(folders)
    return {
        name: _content(everywhere[name])
        for name in sorted(everywhere, key=natural_key)
        if not any(folder.image_count for folder in everywhere[name])
    }


def _content(folders: Sequence[ScannedFolder]) -> str:
    others = sum((folder.all_others() for folder in folders), Counter[str]())
    if not others:
        return "empty"
    return f"{counted(others.total(), 'file')}, no image by its name: {endings(others)}"


def _no_images(tree: ScannedFolder) -> str:
    names = ", ".join(folder.name for folder in tree.folders[:_MOST_NAMES])
    others = tree.all_others()
    if not others and tree.all_own():
        return f"{tree.path} has no images in it but those of tenfold's own folders."
    found = f", only {counted(others.total(), 'other file')} ({endings(others)})" if others else ""
    advice = remedy(others)
    return (
        f"{tree.path} has sub-folders ({names}) but no images in them{found}. "
        f"{f'{advice} ' if advice else ''}Expected {'; or '.join(LAYOUTS)}. "
        f"Images are {', '.join(sorted(IMAGE_SUFFIXES))}."
    )


def _notes(tree: ScannedFolder, level: FolderLevel, used: int) -> Iterator[str]:
    """Say what else is there: what was not used, of which kind, and how many."""
    if level.unused:
        beside = " and ".join(level.names.values()) or f"{level.folder.name}/"
        shown = ", ".join(
            f"{folder.name}/ ({counted(folder.image_count, 'image')})"
            for folder in level.unused[:_MOST_NAMES]
        )
        rest = level.unused[_MOST_NAMES:]
        more = f" and {counted(len(rest), 'more folder')}" if rest else ""
        yield f"Folders beside {beside} were not used: {shown}{more}."
    unused = sum(folder.image_count for folder in (*level.unused, *level.unlabelled))
    if stray := tree.image_count - used - unused:
        yield f"Images outside any class folder were not used: {stray:,}."
    if others := tree.all_others():
        yield (
            f"Files that are no images by their name were ignored: {others.total():,} "
            f"({endings(others)}). {remedy(others)}".rstrip()
        )
    if own := tree.all_own():
        shown = shortlist([str(path.relative_to(tree.path)) for path in own], _MOST_NAMES)
        yield f"What tenfold itself wrote was not read: {shown}."
