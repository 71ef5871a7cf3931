"""Find the image files below a folder, whatever else lies there."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tenfold.core.records.acquire import LeftOutImage
from tenfold.sources.image_formats import IMAGE_SUFFIXES

# Left by macOS' archiver and by Synology's indexer.
_FOREIGN_FOLDERS = frozenset({"__MACOSX", "@eaDir"})


@dataclass
class FolderScan:
    """What was found while looking for images.

    Parameters
    ----------
    ignored
        Files that are no images by their name.
    stray
        Images outside any class folder.
    left_out
        What could not be looked into.
    """

    ignored: int = 0
    stray: int = 0
    left_out: list[LeftOutImage] = field(default_factory=list)

    def images_below(self, folder: Path) -> list[Path]:
        """Give all image files below `folder`, at any depth, in natural order.

        Links to folders are followed once each, so a loop of links ends.
        """
        return sorted(self._walk(folder, set()), key=lambda path: natural_key(str(path)))

    def _walk(self, folder: Path, visited: set[tuple[int, int]]) -> Iterator[Path]:
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                return
            visited.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.left_out.append(LeftOutImage(path=str(folder), reason=_reason(error)))
            return
        for entry in entries:
            if is_hidden(entry.name):
                continue
            try:
                is_folder = entry.is_dir()
            except OSError as error:  # A link that leads to itself.
                self.left_out.append(LeftOutImage(path=entry.path, reason=_reason(error)))
                continue
            if is_folder:
                yield from self._walk(Path(entry.path), visited)
            elif is_image_name(entry.name):
                yield Path(entry.path)
            else:
                self.ignored += 1

    def folders_in(self, folder: Path) -> dict[str, list[Path]]:
        """Give the sub-folders by name, in natural order; count the files beside them.

        Names are compared in Unicode's composed form (NFC): macOS writes "é" as two characters,
        and the same class may come from two systems.
        """
        folders: dict[str, list[Path]] = {}
        for path in sub_folders(folder):
            folders.setdefault(unicodedata.normalize("NFC", path.name), []).append(path)
        for entry in os.scandir(folder):
            if is_hidden(entry.name) or unicodedata.normalize("NFC", entry.name) in folders:
                continue
            if is_image_name(entry.name):
                self.stray += 1
            else:
                self.ignored += 1
        return {name: folders[name] for name in sorted(folders, key=natural_key)}


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


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Give a sort key under which "2" comes before "10" and "b" after "A"."""
    parts = re.split(r"([0-9]+)", name)
    # int() refuses more than 4300 digits; nobody numbers images so.
    key = [
        (0, int(part[:1000]), "")
        if part[:1].isascii() and part[:1].isdigit()
        else (1, 0, part.casefold())
        for part in parts
        if part
    ]
    return key, name


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
