"""Which files of a folder are which class of which split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.records.acquire import LeftOutImage
from tenfold.sources.folder_scan import FolderScan, sub_folders

_TRAIN = "train"
# The first that is there is the test split.
_TESTS = ("test", "val", "validation")

LAYOUTS = (
    "a folder with one sub-folder of images for each class: DATA/cat/1.png, DATA/dog/1.png",
    "the same in two splits: DATA/train/cat/1.png, DATA/test/cat/1.png "
    "(or val or validation instead of test)",
)
"""The folder layouts understood, for messages."""


@dataclass(frozen=True)
class FolderLayout:
    """The image files of a data set by split and class.

    Parameters
    ----------
    train
        Files of each class; classes in natural order, a class without files included.
    test
        The same for the test split; None if the folder has none, so that we make one.
    test_folder
        Name of the test split's folder; empty if there is none.
    left_out
        Folders and links that could not be looked into.
    notes
        What was found besides and what was done about it.
    """

    train: dict[str, list[Path]]
    test: dict[str, list[Path]] | None
    test_folder: str
    left_out: tuple[LeftOutImage, ...]
    notes: tuple[str, ...]


def read_layout(root: Path) -> FolderLayout:
    """Find out how the images below `root` are arranged; opens none.

    There are splits if ``train`` has sub-folders; anything else is one tree. Names of split
    folders may be written in any case.

    Raises
    ------
    DataError
        If `root` is no folder, or cannot be read, or has no sub-folders, or has a test split
        alone.
    """
    try:
        names = {path.name.lower(): path for path in sub_folders(root)}
        has_splits = _TRAIN in names and bool(sub_folders(names[_TRAIN]))
        tests = [path.name for name, path in names.items() if name in _TESTS and sub_folders(path)]
        if tests and not has_splits:
            raise DataError(
                f"{root} has {tests[0]}/ with sub-folders but no {_TRAIN}/ with sub-folders. "
                f"Expected {'; or '.join(LAYOUTS)}."
            )
        scan = FolderScan()
        layout = _splits(names, scan) if has_splits else _one_tree(root, scan)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {error.strerror}.") from error
    if not layout.train:
        raise DataError(f"{root} has no sub-folders. Expected {'; or '.join(LAYOUTS)}.")
    return layout


def _one_tree(root: Path, scan: FolderScan) -> FolderLayout:
    train = _classes_in(root, scan)
    return FolderLayout(train, None, "", tuple(scan.left_out), _notes(scan))


def _splits(names: dict[str, Path], scan: FolderScan) -> FolderLayout:
    notes: list[str] = []
    train = _classes_in(names[_TRAIN], scan)
    with_classes = []
    for name in _TESTS:
        if name in names and sub_folders(names[name]):
            with_classes.append(name)
        elif name in names:
            notes.append(
                f"{names[name].name}/ was not used: it has no sub-folders, so its images have no "
                "class."
            )
    if others := sorted(names.keys() - {_TRAIN, *_TESTS}):
        notes.append(
            f"Folders beside {names[_TRAIN].name}/ were not used: "
            f"{', '.join(names[name].name for name in others[:10])}."
        )
    if not with_classes:
        return FolderLayout(train, None, "", tuple(scan.left_out), (*notes, *_notes(scan)))
    test_name, *extra = with_classes
    test = _classes_in(names[test_name], scan)
    for name in extra:
        for class_name, files in _classes_in(names[name], scan).items():
            train.setdefault(class_name, []).extend(files)
        notes.append(
            f"{names[name].name}/ was added to the training images; "
            f"{names[test_name].name}/ is the test split."
        )
    notes += _notes(scan)
    return FolderLayout(train, test, names[test_name].name, tuple(scan.left_out), tuple(notes))


def _classes_in(folder: Path, scan: FolderScan) -> dict[str, list[Path]]:
    return {
        name: [file for path in paths for file in scan.images_below(path)]
        for name, paths in scan.folders_in(folder).items()
    }


def _notes(scan: FolderScan) -> tuple[str, ...]:
    notes = []
    if scan.ignored:
        notes.append(f"Files that are no images by their name were ignored: {scan.ignored:,}.")
    if scan.stray:
        notes.append(f"Images outside any class folder were not used: {scan.stray:,}.")
    return tuple(notes)
