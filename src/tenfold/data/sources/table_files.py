"""Where the files lie that a table names: below its folder, or beside it in an archive."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tenfold.core.errors import nearest_names
from tenfold.data.sources.archive_members import Archive, ArchiveFile
from tenfold.data.sources.labelled_files import MadeWhenAsked

if TYPE_CHECKING:  # Pillow is not needed to list sources
    from tenfold.data.images.decoding import EncodedImage

_MOST_NAME_LENGTH = 4096
_MOST_NEIGHBOURS = 5000


class NamedFiles(Protocol):
    """Finds files by what a table calls them."""

    def find(self, name: str) -> str | None:
        """Give the one name of the file that a cell leads to; None if there is none."""

    def nearest(self, name: str) -> str:
        """Say what may have been meant by a cell that leads nowhere."""

    def images(self, names: Sequence[str]) -> Sequence[EncodedImage]:
        """Give the files of names that were found; each is made when it is asked for."""


def spellings(name: str) -> Iterator[str]:
    """Give what a cell may mean: tables from Windows have backslashes in their paths."""
    if name and len(name) <= _MOST_NAME_LENGTH and "\0" not in name:
        yield from dict.fromkeys((name, name.replace("\\", "/")))


class FilesBelow:
    """Files on disk, relative to a folder or absolute."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> str | None:
        """Give the path without detours, relative to the folder if it lies below it."""
        for spelling in spellings(name):
            path = os.path.normpath(spelling)
            if not self._is_file(path):
                continue
            if path.startswith(os.pardir + os.sep):
                return os.path.normpath(os.path.join(self._folder, path))
            return name if path == name else path
        return None

    def _is_file(self, path: str) -> bool:
        whole = os.path.join(self._folder, path)
        if path.startswith(os.pardir):
            whole = os.path.normpath(whole)
        try:
            return stat.S_ISREG(os.stat(whole).st_mode)
        except (OSError, ValueError):
            return False

    def nearest(self, name: str) -> str:
        """Name the files of like names in the folder that is meant."""
        wanted = self._folder / name.replace("\\", "/")
        try:
            there = os.listdir(wanted.parent)
        except (OSError, ValueError):
            return (
                f"Paths are relative to the table's folder, {self._folder}, where there is no such "
                "folder."
            )
        near = nearest_names(wanted.name, there[:_MOST_NEIGHBOURS])
        if near:
            return f"Did you mean {' or '.join(near)}?"
        return f"Paths are relative to the table's folder, {self._folder}."

    def images(self, names: Sequence[str]) -> Sequence[Path]:
        """Give the paths."""
        return MadeWhenAsked(
            range(len(names)),
            lambda place: Path(os.path.normpath(os.path.join(self._folder, names[place]))),
        )


class FilesInArchive:
    """Files in an archive, relative to a folder in it."""

    def __init__(self, archive: Archive, folder: str) -> None:
        self._archive, self._folder = archive, folder
        self._numbers = {name: number for number, name in enumerate(archive.names)}

    def find(self, name: str) -> str | None:
        """Give the name in the archive."""
        for spelling in spellings(name):
            path = posixpath.normpath(posixpath.join(self._folder, spelling))
            if path in self._numbers:
                return self._archive.names[self._numbers[path]]
        return None

    def nearest(self, name: str) -> str:
        """Name the files of like names in the folder that is meant."""
        wanted = posixpath.normpath(posixpath.join(self._folder, name.replace("\\", "/")))
        above, _, last = wanted.rpartition("/")
        there = [one.rpartition("/")[2] for one in self._numbers if one.rpartition("/")[0] == above]
        if near := nearest_names(last, there[:_MOST_NEIGHBOURS]):
            return f"Did you mean {' or '.join(near)}?"
        return f"Paths are relative to the table's folder in {self._archive.path}."

    def images(self, names: Sequence[str]) -> Sequence[ArchiveFile]:
        """Give the members."""
        return [ArchiveFile(self._archive, self._numbers[name]) for name in names]
