"""Bytes at any place of a file, or of what a gzip file unpacks to.

Nothing is kept open between two readings, so there may be thousands of shards, and several threads
may read at once.
"""

from __future__ import annotations

import errno
import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

_CHUNK_BYTES = 2**18
_LEAST_BLOCK_BYTES = 2**22
_MOST_BLOCKS = 2**11  # A place to begin at takes 40 KB of memory.
_KEPT_BLOCKS = 8
_FAR = 2**62  # No file ends there, and no system seeks there.
_GZIP = 16 + zlib.MAX_WBITS  # zlib's number for: gzip's header and checksum around the data.


class RandomAccess(Protocol):
    """A file whose bytes are read at any place, by several threads at once."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Give bytes from a place on; fewer only at the end.

        Raises
        ------
        OSError
            If they cannot be read.
        """


@dataclass(frozen=True)
class PlainBytes:
    """A file as it lies."""

    path: Path

    def read_at(self, offset: int, size: int) -> bytes:
        """Give bytes from a place on; fewer only at the end."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(offset)
            parts: list[bytes] = []
            while size > 0 and (part := file.read(size)):
                parts.append(part)
                size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class GzipBytes:
    """What a gzip file unpacks to, in blocks that are unpacked again when they are asked for.

    The first reading goes through the file and keeps the decoder's state at each block's beginning;
    the blocks used last are kept. Reading in about the order of the file unpacks each block once.

    Parameters
    ----------
    path
        The file.
    most_bytes
        An error is raised where it unpacks to more.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._block_bytes = max(_LEAST_BLOCK_BYTES, path.stat().st_size // _MOST_BLOCKS)
        self._beginnings = [_Beginning(0, zlib.decompressobj(_GZIP))]
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read_at(self, offset: int, size: int) -> bytes:
        """Give bytes from a place on; fewer only at the end."""
        parts: list[bytes] = []
        while size > 0:
            number, start = divmod(offset, self._block_bytes)
            part = self._block(number)[start : start + size]
            if not part:
                break
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        with self._lock:
            while number >= len(self._beginnings):
                last = len(self._beginnings) - 1
                if len(self._unpacked(last)) < self._block_bytes:
                    return b""
            return self._unpacked(number)

    def _unpacked(self, number: int) -> bytes:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        with self._path.open("rb") as file:
            state = _Decoder(file, self._beginnings[number])
            try:
                block = state.read(self._block_bytes)
            except zlib.error as error:
                raise OSError(errno.EIO, f"damaged gzip data ({error})") from error
            if number * self._block_bytes + len(block) > self._most_bytes:
                raise OSError(errno.EFBIG, f"it unpacks to more than {self._most_bytes:,} bytes")
            if number + 1 == len(self._beginnings) and len(block) == self._block_bytes:
                self._beginnings.append(state.beginning())
        self._kept[number] = block
        if len(self._kept) > _KEPT_BLOCKS:
            self._kept.popitem(last=False)
        return block


@dataclass(frozen=True)
class _Beginning:
    """Where a decoder goes on: a place in the file, and zlib's state there."""

    offset: int
    state: Any


class _Decoder:
    def __init__(self, file: BinaryIO, beginning: _Beginning) -> None:
        self._file = file
        self._file.seek(beginning.offset)
        self._state = beginning.state.copy()
        self._packed = b""

    def read(self, size: int) -> bytes:
        """Unpack so many bytes; fewer only at the end."""
        parts: list[bytes] = []
        while size > 0:
            if self._state.eof and not self._begin_member():
                break
            if not self._packed:
                self._packed = self._file.read(_CHUNK_BYTES)
            part = self._state.decompress(self._packed, size)
            if not part and not self._packed and not self._state.eof:
                raise OSError(errno.EIO, "cut off: the gzip data end too early")
            self._packed = self._state.unused_data or self._state.unconsumed_tail
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _begin_member(self) -> bool:
        """Begin what follows a member's end; False if only padding does."""
        while not self._packed.strip(b"\0"):
            self._packed = self._file.read(_CHUNK_BYTES)
            if not self._packed:
                return False
        self._packed = self._packed.lstrip(b"\0")
        self._state = zlib.decompressobj(_GZIP)
        return True

    def beginning(self) -> _Beginning:
        """Give where the next bytes come from."""
        return _Beginning(self._file.tell() - len(self._packed), self._state.copy())


class Cursor:
    """Reads on from where it stands, and skips without reading."""

    def __init__(self, source: RandomAccess) -> None:
        self._source = source
        self._offset = 0

    def read(self, size: int) -> bytes:
        """Give the next bytes; fewer only at the end."""
        content = self._source.read_at(self._offset, size)
        self._offset += len(content)
        return content

    def skip(self, size: int) -> int:
        """Pass over bytes; gives how many there were."""
        last = self._offset + size - 1
        if size and (last > _FAR or not self._source.read_at(last, 1)):
            return 0
        self._offset += size
        return size
