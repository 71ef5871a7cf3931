"""The files in an archive that anybody may have made: their names, and the folders they make.

Nothing is written to disk, so a name can lead nowhere; those that try to are left out all the same,
as whoever made them meant no data set.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.records.data import LeftOutImage
from tenfold.core.text import shortlist
from tenfold.data.sources.folder_files import (
    ScannedFolder,
    is_hidden,
    is_image_name,
    natural_key,
)

MOST_MEMBER_BYTES = 2**30
"""Of one image; more than any camera or microscope writes that Pillow reads."""
LINK = "it is a link, which is not followed in an archive"
NO_FILE = "it is a device, a pipe or something else that is no file"
_MOST_LEVELS = 64
_MOST_NAME_LENGTH = 4096
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, eq=False)
class Archive:
    """The files in an archive.

    Parameters
    ----------
    path
        The archive.
    names
        Of its files, with slashes; no two are the same.
    read
        Gives a file's content by its place among the names; several threads may ask at once.
    left_out
        Members that look like images and are not used, and why.
    """

    path: Path
    names: Sequence[str]
    read: Callable[[int], bytes]
    left_out: tuple[LeftOutImage, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.names)) == len(self.names):
            return
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        raise DataError(
            f"{self.path} has several files of one name: {shortlist(twice, 3)}. Which one is meant "
            "is not known. Make the archive again, each file once."
        )


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file in an archive; an `EncodedImage`."""

    archive: Archive
    number: int

    @property
    def name(self) -> str:
        """Give its path in the archive."""
        return self.archive.names[self.number]

    @property
    def suffix(self) -> str:
        """Give its ending."""
        return os.path.splitext(self.name)[1]

    def read_bytes(self) -> bytes:
        """Give its content."""
        return self.archive.read(self.number)

    def __str__(self) -> str:
        """Give the archive's path with the file's behind it."""
        return f"{self.archive.path}/{self.name}"


class NamedMembers:
    """Takes the members of an archive and sorts out which are used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names: list[str] = []
        self.left_out: list[LeftOutImage] = []

    def take(self, name: str, reason: str = "") -> bool:
        """Say whether a member is used: neither hidden, nor for some `reason` not readable."""
        plain = name.replace("\\", "/")
        parts = [part for part in plain.split("/") if part not in {"", "."}]
        if not parts or (any(map(is_hidden, parts)) and ".." not in parts):
            return False
        if len(plain) > _MOST_NAME_LENGTH or len(parts) > _MOST_LEVELS:
            reason, plain = "its name is too long", plain[:100]
        elif plain.startswith("/") or _DRIVE.match(plain) or ".." in parts:
            reason = "its name leads out of the archive"
        if reason:
            if is_image_name(name):
                self.left_out.append(LeftOutImage(path=f"{self._path}/{plain}", reason=reason))
            return False
        self.names.append("/".join(parts))
        return True


@dataclass
class _Folder:
    images: list[ArchiveFile] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    folders: dict[str, _Folder] = field(default_factory=dict)

    def scanned(self, path: Path) -> ScannedFolder:
        folders = tuple(
            self.folders[name].scanned(path / name)
            for name in sorted(self.folders, key=natural_key)
        )
        return ScannedFolder(path, tuple(self.images), folders, self.others)


def archive_tree(archive: Archive, chosen: Iterable[int] | None = None) -> ScannedFolder:
    """Give the folders of an archive as a scan of the unpacked ones would."""
    root = _Folder()
    for number in range(len(archive.names)) if chosen is None else chosen:
        *above, name = archive.names[number].split("/")
        folder = root
        for part in above:
            folder = folder.folders.setdefault(part, _Folder())
        if is_image_name(name):
            folder.images.append(ArchiveFile(archive, number))
        else:
            folder.others[os.path.splitext(name)[1].lower()] += 1
    return root.scanned(archive.path)


def why_left_out(left_out: Sequence[LeftOutImage]) -> Iterator[str]:
    """Say why members are not used, each reason once."""
    for reason, count in Counter(image.reason for image in left_out).most_common(3):
        yield f"{count:,} × {reason}"
