"""The files in a ZIP archive, read in place.

Python's ``zipfile`` reads the list of contents; a member's content is read by its place, without a
file object that threads would have to share. What it unpacks to is bounded by what the list says.
"""

from __future__ import annotations

import errno
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.data.random_access import PlainBytes
from tenfold.data.sources.archive_members import (
    LINK,
    MOST_MEMBER_BYTES,
    NO_FILE,
    Archive,
    NamedMembers,
)

# APPNOTE.TXT, 4.3.7: of a member's own header, which stands before its content.
_HEADER = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
# Images hardly shrink, but drawings of one colour do; files made to exhaust the time do far more.
_ALWAYS_UNPACKED_BYTES = 2**30
_MOST_EXPANSION = 200


class ZipContents:
    """Where the contents of members lie: 29 bytes each.

    Parameters
    ----------
    path
        The archive.
    members
        Those that are used.
    """

    def __init__(self, path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
        self._file = PlainBytes(path)
        self._offsets = np.array([one.header_offset for one in members], dtype=np.int64)
        self._packed = np.array([one.compress_size for one in members], dtype=np.int64)
        self._sizes = np.array([one.file_size for one in members], dtype=np.int64)
        self._checksums = np.array([one.CRC for one in members], dtype=np.uint32)
        self._is_deflated = np.array([one.compress_type == _DEFLATED for one in members], bool)

    def read(self, number: int) -> bytes:
        """Give a member's content.

        Raises
        ------
        OSError
            If it is damaged.
        """
        offset, packed, size = (
            int(values[number]) for values in (self._offsets, self._packed, self._sizes)
        )
        header = self._file.read_at(offset, _HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_SIGNATURE):
            raise _damaged("there is no file where the archive says")
        _, name_length, extra_length = _HEADER.unpack(header)
        begin = offset + _HEADER.size + name_length + extra_length
        content = self._file.read_at(begin, packed)
        if len(content) < packed:
            raise _damaged("the archive ends within it")
        if self._is_deflated[number]:
            try:
                # One byte more than announced, so that more is noticed.
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
            except zlib.error as error:
                raise _damaged(str(error)) from error
        if len(content) != size or zlib.crc32(content) != self._checksums[number]:
            raise _damaged("its size or its checksum is not what the archive says")
        return content

    def check(self) -> None:
        """Check that members do not share bytes, and do not unpack to far more than they take.

        Raises
        ------
        DataError
            If they do: the archive was made to cost time.
        """
        packed, unpacked = int(self._packed.sum()), int(self._sizes.sum())
        if _overlap(self._offsets, self._packed):
            raise DataError(
                f"{self._file.path} has members that lie on one another, so it was made to do harm "
                "or is damaged. Get it from elsewhere, or make it again."
            )
        if unpacked > max(_ALWAYS_UNPACKED_BYTES, _MOST_EXPANSION * packed):
            raise DataError(
                f"{self._file.path} unpacks to {unpacked:,} bytes out of {packed:,}: far more than "
                "images do. Unpack it, and give the folder that comes out of it, if it is right."
            )


def zip_members(path: Path) -> Archive:
    """List the files of a ZIP archive.

    Raises
    ------
    DataError
        If it is damaged, was made to do harm, or has two files of one name.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # Damaged ones make the reader raise nearly anything.
        raise DataError(
            f"{path} is not a whole ZIP archive ({error}). It is cut off or damaged; copy or "
            "download it again."
        ) from error
    named = NamedMembers(path)
    used = [one for one in members if not one.is_dir() and named.take(one.filename, _unusable(one))]
    contents = ZipContents(path, used)
    contents.check()
    return Archive(path, named.names, contents.read, tuple(named.left_out))


def _unusable(member: zipfile.ZipInfo) -> str:
    """Say why a member cannot be read; empty if it can."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return LINK
    if kind not in (0, stat.S_IFREG):
        return NO_FILE
    if member.flag_bits & _ENCRYPTED:
        return "it is encrypted; make the archive again without a password"
    if member.compress_type not in (_STORED, _DEFLATED):
        method = zipfile.compressor_names.get(member.compress_type, "unknown")  # type: ignore[attr-defined]
        return f"it is packed by another method than deflate ({method}); make the archive again"
    if member.file_size > MOST_MEMBER_BYTES:
        return f"it has {member.file_size:,} bytes; at most {MOST_MEMBER_BYTES:,} are read"
    return ""


def _overlap(offsets: npt.NDArray[np.int64], packed: npt.NDArray[np.int64]) -> bool:
    order = np.argsort(offsets)
    ends = offsets[order] + packed[order] + _HEADER.size
    return bool((ends[:-1] > offsets[order][1:]).any())


def _damaged(reason: str) -> OSError:
    return OSError(errno.EIO, f"damaged in the archive: {reason}")
