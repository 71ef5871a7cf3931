"""What a gzip file unpacks to, read forwards and never more of it than was allowed.

``gzip.GzipFile`` walks through a header's file name byte by byte in Python and begins as many
members as a file has; here zlib does all of it, and bytes and members are counted on both sides.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

from tenfold.core.errors import DataError

_CHUNK_BYTES = 2**16
_GZIP = 16 + zlib.MAX_WBITS  # zlib's number for: gzip's header and checksum around the data.
_MOST_MEMBERS = 20_000
"""Tools that compress in blocks write a member every 64 KiB: 3,000 for CIFAR-10."""


class GzipStream:
    """Reads on until more was taken in or given out than allowed (a "zip bomb" stops there).

    Parameters
    ----------
    file
        The gzip file, open for reading bytes.
    most_bytes
        Of what it unpacks to, and of the file itself.
    path
        For messages.
    """

    def __init__(self, file: BinaryIO, most_bytes: int, path: Path) -> None:
        self._file = file
        self._path = path
        self._packed = b""  # Read from the file and not yet unpacked.
        self._unpacked, self._start = b"", 0  # What was unpacked last, and what of it was given.
        self._inflate = zlib.decompressobj(_GZIP)
        self._members = 1
        self._left_to_read = self._left_to_unpack = most_bytes

    def read(self, size: int) -> bytes:
        """Give the next `size` bytes; fewer only at the end.

        Raises
        ------
        DataError
            If the file is cut off, damaged, or too much.
        """
        parts: list[bytes] = []
        while size > 0 and (part := self.read_some(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def read_some(self, most: int = _CHUNK_BYTES) -> bytes:
        """Give some of the next bytes, at most `most` and 64 KiB; none at the end."""
        if self._start == len(self._unpacked):
            try:
                self._unpacked, self._start = self._next(), 0
            except zlib.error as error:
                raise self._not_whole(str(error)) from error
        part = self._unpacked[self._start : self._start + most]
        self._start += len(part)
        return part

    def _next(self) -> bytes:
        while True:
            if self._inflate.eof and not self._begin_member():
                return b""
            part = self._inflate.decompress(self._packed, _CHUNK_BYTES)
            # What follows the end of a member is kept for the next one.
            self._packed = (
                self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            )
            if part:
                self._left_to_unpack -= len(part)
                if self._left_to_unpack < 0:
                    raise DataError(
                        f"{self._path} unpacks to far more than CIFAR-10. Give the published "
                        "archive."
                    )
                return part
            if not self._packed and not self._inflate.eof:
                self._packed = self._read_packed()
                if not self._packed:
                    raise self._not_whole("it ends too early")

    def _begin_member(self) -> bool:
        """Begin what follows a member's end; False if only padding does."""
        while not self._packed.strip(b"\0"):
            self._packed = self._read_packed()
            if not self._packed:
                return False
        self._packed = self._packed.lstrip(b"\0")
        self._inflate = zlib.decompressobj(_GZIP)
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise self._not_whole(f"more than {_MOST_MEMBERS:,} gzip members")
        return True

    def _read_packed(self) -> bytes:
        content = self._file.read(_CHUNK_BYTES)
        self._left_to_read -= len(content)
        if self._left_to_read < 0:
            raise DataError(
                f"{self._path} is far larger than CIFAR-10. Give the published archive."
            )
        return content

    def _not_whole(self, reason: str) -> DataError:
        return DataError(
            f"{self._path} is not a whole .tar.gz archive ({reason}). It is cut off or damaged; "
            "copy or download it again."
        )
