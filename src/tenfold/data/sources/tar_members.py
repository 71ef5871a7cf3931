"""The files in a tar archive, packed by gzip or not, read in place by an index of their places."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.data.archives import TarReader
from tenfold.data.random_access import Cursor, GzipBytes, PlainBytes, RandomAccess
from tenfold.data.sources.archive_members import LINK, MOST_MEMBER_BYTES, Archive, NamedMembers

TAR_MARK, TAR_MARK_AT = b"ustar", 257
GZIP_MARK = b"\x1f\x8b"
_ALWAYS_UNPACKED_BYTES = 2**30
_MOST_EXPANSION = 200
_FAR = 2**62


def tar_members(path: Path) -> Archive:
    """List the files of a tar archive; one that gzip packed is unpacked once for it, into nothing.

    Raises
    ------
    DataError
        If it is cut off, damaged, was made to do harm, or has two files of one name.
    """
    named = NamedMembers(path)
    places: list[tuple[int, int]] = []
    try:
        source = _opened(path)
        reader = TarReader(
            Cursor(source), _FAR, path, "images", "tar archive", most_members=None, needs_end=True
        )
        for member in reader.members():
            if member.is_folder:
                continue
            reason = "" if member.is_file else LINK
            if member.size_bytes > MOST_MEMBER_BYTES:
                reason = (
                    f"it has {member.size_bytes:,} bytes; at most {MOST_MEMBER_BYTES:,} are read"
                )
            if named.take(member.name, reason):
                places.append((member.offset, member.size_bytes))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    contents = _TarContents(source, np.array(places, dtype=np.int64).reshape(-1, 2))
    return Archive(path, named.names, contents.read, tuple(named.left_out))


def _opened(path: Path) -> RandomAccess:
    with path.open("rb") as file:
        is_packed = file.read(len(GZIP_MARK)) == GZIP_MARK
    if not is_packed:
        return PlainBytes(path)
    size = path.stat().st_size
    return GzipBytes(path, max(_ALWAYS_UNPACKED_BYTES, _MOST_EXPANSION * size))


class _TarContents:
    def __init__(self, source: RandomAccess, places: npt.NDArray[np.int64]) -> None:
        self._source = source
        self._places = places

    def read(self, number: int) -> bytes:
        offset, size = self._places[number].tolist()
        content = self._source.read_at(offset, size)
        if len(content) < size:
            raise OSError(errno.EIO, "the archive ends within it")
        return content
