"""The files of a folder: images, what tenfold itself wrote, and what is left out."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tenfold.core.records.data import LeftOutImage
from tenfold.core.run_folder import MANIFEST, SETTINGS
from tenfold.data.images.formats import IMAGE_SUFFIXES

if TYPE_CHECKING:  # Pillow is not needed to list sources
    from tenfold.data.images.decoding import EncodedImage

RUN_FOLDER = "run folder"
MODEL_FOLDER = "model folder"
STAGE_FOLDER = "folder of a stage"
EXPLANATIONS = "folder of explanations"

# Left by macOS' archiver and by Synology's indexer.
_FOREIGN_FOLDERS = frozenset({"__MACOSX", "@eaDir"})

# A file of this name and keys is tenfold's: others may write files of these names, too.
_MARKS = (
    (RUN_FOLDER, SETTINGS, {"recipe", "data", "model", "training"}),
    (STAGE_FOLDER, MANIFEST, {"stage", "fingerprint", "inputs", "files"}),
    (MODEL_FOLDER, "model.json", {"format_version", "classes", "files"}),
)
_EXPLANATIONS = {"index.html", "explained_images"}
_LARGEST_BYTES = 2**24  # All of these are far smaller; a larger file is somebody else's.

# fmt: off
_PICTURES = frozenset({
    ".czi", ".fits", ".h5", ".hdf5", ".icns", ".ico", ".jps", ".jxr", ".lif", ".mat", ".mha",
    ".mhd", ".nd2", ".npy", ".npz", ".nrrd", ".pcx", ".pdf", ".raw", ".sgi", ".svs", ".tfrecord",
    ".tfrecords", ".xbm", ".xpm",
})
_VIDEOS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"})
# fmt: on
ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"})

_DIGITS = re.compile("[0-9]+")
_MOST_DIGITS = 0x40  # Nobody numbers images by more, and folding leaves these characters.
_MOST_ENDINGS = 4  # More kinds of files in one sentence are not read by anyone.

_Place = tuple[int, int]
"""Device and inode of a folder."""


@dataclass(frozen=True, eq=False)
class ScannedFolder:
    """A folder, and all that is of use below it.

    Parameters
    ----------
    path
        The folder.
    images
        The image files in it, not those in its sub-folders; paths, or members of an archive.
    folders
        Its sub-folders in natural order, hidden ones and those that tenfold wrote left out.
    others
        Endings of the files in it that are no images by their name, and how many there are.
    own
        Folders in it that tenfold wrote.
    """

    path: Path
    images: tuple[EncodedImage, ...] = ()
    folders: tuple[ScannedFolder, ...] = ()
    others: Counter[str] = field(default_factory=Counter)
    own: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """Give its name in Unicode's composed form (NFC).

        macOS writes "é" as two characters, and the same class may come from two systems.
        """
        return unicodedata.normalize("NFC", self.path.name)

    @cached_property
    def image_count(self) -> int:
        """Count the images in it, at any depth."""
        return len(self.images) + sum(folder.image_count for folder in self.folders)

    @property
    def filled(self) -> tuple[ScannedFolder, ...]:
        """Give the sub-folders that have images at any depth."""
        return tuple(folder for folder in self.folders if folder.image_count)

    def tree(self) -> Iterator[ScannedFolder]:
        """Give it and all folders below it."""
        yield self
        for folder in self.folders:
            yield from folder.tree()

    def all_images(self) -> list[EncodedImage]:
        """Give the image files in it, at any depth, in natural order."""
        files = [file for folder in self.tree() for file in folder.images]
        return sorted(files, key=lambda file: natural_key(str(file)))

    def all_others(self) -> Counter[str]:
        """Count the files that are no images by their name, at any depth, by their endings."""
        return sum((folder.others for folder in self.tree()), Counter[str]())

    def all_own(self) -> list[Path]:
        """Give the folders that tenfold wrote, at any depth."""
        return [path for folder in self.tree() for path in folder.own]


@dataclass
class FolderScan:
    """What was found while looking for images.

    Parameters
    ----------
    ignored
        Files that are no images by their name.
    left_out
        What could not be looked into.
    """

    ignored: int = 0
    left_out: list[LeftOutImage] = field(default_factory=list)

    def images_below(self, folder: Path) -> list[Path]:
        """Give all image files below `folder`, at any depth, in natural order.

        What tenfold wrote is left out. Links to folders are followed once each.
        """
        found = self._look(folder, frozenset(), set())
        images = [] if found is None else found.all_images()
        return [image for image in images if isinstance(image, Path)]

    def tree(self, root: Path) -> ScannedFolder:
        """Look at everything below `root`, links to folders included.

        A link that leads back to a folder above it is not followed.

        Raises
        ------
        OSError
            If `root` itself cannot be read.
        """
        os.scandir(root).close()
        return self._look(root, frozenset(), None) or ScannedFolder(root)

    def _look(
        self, folder: Path, above: frozenset[_Place], seen: set[_Place] | None
    ) -> ScannedFolder | None:
        """Look at a folder; `seen` are those below a link, each of which is visited once.

        Two links may lead to one folder, but links in linked folders could multiply without end.
        """
        try:
            status = folder.stat()
            place = (status.st_dev, status.st_ino)
            if place in above or (seen is not None and place in seen):
                return None
            if seen is not None:
                seen.add(place)
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: natural_key(entry.name))
        except OSError as error:
            self.left_out.append(LeftOutImage(path=str(folder), reason=_reason(error)))
            return None
        images, folders, own = [], [], []
        others: Counter[str] = Counter()
        for entry in entries:
            if is_hidden(entry.name):
                continue
            try:
                is_folder, is_link = entry.is_dir(), entry.is_symlink()
            except OSError as error:  # A link that leads to itself.
                self.left_out.append(LeftOutImage(path=entry.path, reason=_reason(error)))
                continue
            path = Path(entry.path)
            if is_folder and _is_own(path):
                own.append(path)
            elif is_folder:
                below = set() if is_link and seen is None else seen
                found = self._look(path, above | {place}, below)
                folders += [] if found is None else [found]
            elif is_image_name(entry.name):
                images.append(path)
            else:
                others[os.path.splitext(entry.name)[1].lower()] += 1
                self.ignored += 1
        return ScannedFolder(folder, tuple(images), tuple(folders), others, tuple(own))


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _is_own(folder: Path) -> bool:
    """Say whether tenfold wrote a folder."""
    try:
        return own_kind(folder, os.listdir(folder)) is not None
    except OSError:
        return False  # whoever looks into it says why


def own_kind(folder: Path, names: Iterable[str]) -> str | None:
    """Say what a folder is if tenfold wrote it; None if it is the user's.

    Parameters
    ----------
    folder
        The folder.
    names
        Of all that lies in it, hidden files included.
    """
    there = set(names)
    for kind, name, keys in _MARKS:
        if name in there and keys <= _keys(folder / name):
            return kind
    if {name for name in there if not name.startswith(".")} == _EXPLANATIONS:
        return EXPLANATIONS
    return None


def _keys(path: Path) -> set[str]:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
            return set()
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return set()
    return set(content) if isinstance(content, dict) else set()


def sub_folders(folder: Path) -> list[Path]:
    """Give the visible sub-folders of `folder`, links to folders included, sorted."""
    found = []
    for entry in os.scandir(folder):
        try:
            if not is_hidden(entry.name) and entry.is_dir():
                found.append(Path(entry.path))
        except OSError:  # A link that leads to itself is no folder.
            continue
    return sorted(found)


def is_hidden(name: str) -> bool:
    """Say whether a file or folder of this name is none of the user's data."""
    return name.startswith(".") or name in _FOREIGN_FOLDERS


def is_image_name(name: str) -> bool:
    """Say whether a file of this name should be an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def natural_key(name: str) -> tuple[str, str]:
    """Give a sort key under which "2" comes before "10" and "b" after "A"."""
    return natural_text(name), name


def natural_text(name: str) -> str:
    """Give what `natural_key` sorts by, but for the order of names that differ in case alone.

    A run of digits becomes a zero character, the number of its digits, and these: so it comes
    before all letters, and a shorter number before a longer one. A million of these fit in memory.
    """
    return _DIGITS.sub(_number_text, name).casefold()


def _number_text(found: re.Match[str]) -> str:
    digits = found[0].lstrip("0")
    return f"\0{chr(min(len(digits), _MOST_DIGITS))}{digits}"


def endings(others: Counter[str]) -> str:
    """Give how many files have which ending, most of them first: ``.heic 38, .txt 2``."""
    ordered = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{ending or 'no ending'} {count:,}" for ending, count in ordered[:_MOST_ENDINGS]]
    rest = sum(count for _, count in ordered[_MOST_ENDINGS:])
    return ", ".join([*shown, *([f"others {rest:,}"] if rest else [])])


def remedy(others: Iterable[str]) -> str:
    """Say what can be done about files of these endings; empty if they need not be images."""
    known = set(others)
    advice = []
    if found := sorted(known & _PICTURES):
        advice.append(f"Convert {', '.join(found)} files to PNG or JPEG to have them used.")
    if found := sorted(known & _VIDEOS):
        advice.append(f"Save frames of {', '.join(found)} files as PNG or JPEG to have them used.")
    if found := sorted(known & ARCHIVES):
        advice.append(f"Unpack {', '.join(found)} files to have what is in them used.")
    if "" in known:
        advice.append("Give images without an ending one, such as .jpg, to have them used.")
    return " ".join(advice)
