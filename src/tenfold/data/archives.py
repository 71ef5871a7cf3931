"""Tar and gzip archives that anybody may have made, read within limits.

Python's ``tarfile`` cannot be held to that: it skips to wherever a header points, past the end of
the file too, calls itself for each long name and keeps every extended header. This reads what a
copy of the published archives may hold (ustar, GNU's long names, pax) and refuses the rest.
``gzip.GzipFile`` walks through a header's file name byte by byte in Python and begins as many
members as a file has; here zlib does all of it, and bytes and members are counted on both sides.

Layout: POSIX.1-2017, ``pax``, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO, Protocol

from tenfold.core.errors import DataError

_BLOCK_BYTES = 512
_CHUNK_BYTES = 2**16
_MOST_HEADERS = 1000
_MOST_NAME_BYTES = 2**20
"""Of all long names and extended headers together; a copy with everything that a Mac knows of its
files has some kilobytes."""
_GZIP = 16 + zlib.MAX_WBITS  # zlib's number for: gzip's header and checksum around the data.
_MOST_MEMBERS = 20_000
"""Tools that compress in blocks write a member every 64 KiB: 3,000 for CIFAR-10."""

_REGULAR = (b"0", b"\0", b"7")
_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6", b"V")  # links, devices, folders, labels
_FOR_THE_NEXT = (b"x", b"X", b"g", b"L", b"K")  # extended headers; GNU's long names and links
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")


@dataclass(frozen=True)
class TarMember:
    """A file, folder, link or device in an archive.

    Parameters
    ----------
    name
        Its path; what a terminal cannot show is replaced.
    size_bytes
        Of its content.
    is_file
        Whether it is a regular file.
    offset
        Where its content begins in what the archive unpacks to.
    is_folder
        Whether it is a folder.
    """

    name: str
    size_bytes: int
    is_file: bool
    offset: int = 0
    is_folder: bool = False


class ByteStream(Protocol):
    """What a tar archive is read from, from front to back."""

    def read(self, size: int) -> bytes:
        """Give the next bytes; fewer only at the end."""

    def skip(self, size: int) -> int:
        """Pass over bytes; gives how many there were, any fewer if they end."""


class TarReader:
    """Gives an archive's members one after the other.

    Parameters
    ----------
    stream
        What the archive unpacks to.
    most_bytes
        A member that says that it has more is refused before anything of it is read.
    path
        For messages.
    expected
        What the archive should hold, for messages.
    kind
        What kind of file it is, for messages.
    most_members
        More headers than these are refused; None for any number.
    needs_end
        Whether an archive that ends without the mark of an end counts as cut off: where nothing
        says how many members there should be.
    """

    def __init__(
        self,
        stream: ByteStream,
        most_bytes: int,
        path: Path,
        expected: str = "CIFAR-10",
        kind: str = ".tar.gz archive",
        *,
        most_members: int | None = _MOST_HEADERS,
        needs_end: bool = False,
    ) -> None:
        self._expected, self._kind = expected, kind
        self._stream = stream
        self._most_bytes = most_bytes
        self._path = path
        self._most_members = most_members
        self._needs_end = needs_end
        self._position = 0
        self._unread = 0  # Bytes of the present member that were not asked for.
        self._padding = 0
        self._name_bytes = 0

    def members(self) -> Iterator[TarMember]:
        """Give the members; the content of one is skipped unless it is read meanwhile.

        Raises
        ------
        DataError
            If the archive is cut off or damaged, or holds more than the published ones can.
        """
        extended: dict[bytes, bytes] = {}  # What belongs to the next member.
        for _ in count() if self._most_members is None else range(self._most_members):
            self._skip(self._unread + self._padding)
            header = self._read(_BLOCK_BYTES)
            if not header and self._needs_end:
                raise self._cut_off()
            if not header.strip(b"\0"):
                return
            self._check(header)
            kind = header[156:157]
            is_for_next = kind in _FOR_THE_NEXT
            size = self._number(None if is_for_next else extended.get(b"size"), header[124:136])
            name = _text(extended.get(b"path", _name_in(header)))
            if size > self._most_bytes:
                raise DataError(
                    f"{self._path} unpacks to far more than {self._expected}: its member {name} "
                    f"should have {size:,} bytes. Give the published archive."
                )
            if kind == b"S" or any(key.startswith(b"GNU.sparse") for key in extended):
                raise self._damaged(f"member {name} is stored without its empty parts")
            self._begin(0 if kind in _WITHOUT_CONTENT else size)
            if kind == b"L":
                extended[b"path"] = self._names().split(b"\0", 1)[0]
            elif kind in (b"x", b"X"):
                extended |= self._pax_values(self._names())
            elif not is_for_next:
                extended = {}
                self._name_bytes = 0
                is_folder = kind == b"5" or name.endswith("/")
                is_file = kind in _REGULAR and not is_folder
                yield TarMember(name, size, is_file, self._position, is_folder)
        raise DataError(
            f"{self._path} holds more than {self._most_members:,} files; "
            f"{self._expected}'s archives hold fewer than ten. Give the published archive or the "
            "unpacked folder."
        )

    def content(self) -> bytes:
        """Give the content of the present member, once.

        Raises
        ------
        DataError
            If the archive is cut off.
        """
        content = self._read(self._unread)
        if len(content) < self._unread:
            raise self._cut_off()
        self._unread = 0
        return content

    def _begin(self, size: int) -> None:
        self._unread = size
        self._padding = -size % _BLOCK_BYTES

    def _read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._position += len(content)
        return content

    def _skip(self, size: int) -> None:
        if self._stream.skip(size) < size:
            raise self._cut_off()
        self._position += size
        self._begin(0)

    def _names(self) -> bytes:
        self._name_bytes += self._unread
        if self._name_bytes > _MOST_NAME_BYTES:
            raise self._damaged(f"names and headers of more than {_MOST_NAME_BYTES:,} bytes")
        return self.content()

    def _check(self, header: bytes) -> None:
        if len(header) < _BLOCK_BYTES:
            raise self._cut_off()
        # The sum counts its own eight bytes as spaces.
        expected = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
        if self._number(None, header[148:156]) != expected:
            raise self._damaged("a header has another checksum than it says")

    def _number(self, decimal: bytes | None, field: bytes) -> int:
        """Give a header's number, or the one that stands in an extended header in its place."""
        if decimal is not None:
            if not decimal.isdigit() or len(decimal) > 20:
                raise self._damaged("a size is no number")
            return int(decimal)
        if field[0] == 0x80:  # GNU's way for numbers that octal digits have no room for.
            return int.from_bytes(field[1:], "big")
        octal = _OCTAL.fullmatch(field)
        if octal is None:
            raise self._damaged("a header holds no number where one should be")
        return int(octal[1] or b"0", 8)

    def _pax_values(self, content: bytes) -> dict[bytes, bytes]:
        """Parse records of ``LENGTH KEY=VALUE\\n``, where the length counts all of it."""
        values: dict[bytes, bytes] = {}
        start = 0
        while start < len(content) and content[start] != 0:
            space = content.find(b" ", start, start + 8)
            digits = content[start:space]
            if space < 0 or not digits.isdigit():
                raise self._damaged("an extended header without lengths")
            end = start + int(digits)
            record = content[space + 1 : end]
            key, sign, value = record[:-1].partition(b"=")
            if not space < end <= len(content) or not record.endswith(b"\n") or not sign:
                raise self._damaged("an extended header with a wrong length")
            values[key] = value
            start = end
        return values

    def _cut_off(self) -> DataError:
        return self._damaged("it ends too early")

    def _damaged(self, reason: str) -> DataError:
        return DataError(
            f"{self._path} is not a whole {self._kind} ({reason}). It is cut off or damaged; "
            "copy or download it again."
        )


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
    expected
        What it should unpack to, for messages.
    kind
        What kind of file it is, for messages.
    """

    def __init__(
        self,
        file: BinaryIO,
        most_bytes: int,
        path: Path,
        expected: str = "CIFAR-10",
        kind: str = ".tar.gz archive",
    ) -> None:
        self._expected, self._kind = expected, kind
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

    def skip(self, size: int) -> int:
        """Unpack bytes and drop them; gives how many there were."""
        left = size
        while left > 0 and (part := self.read_some(left)):
            left -= len(part)
        return size - left

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
                        f"{self._path} unpacks to far more than {self._expected}. {self._advice}"
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
            raise DataError(f"{self._path} is far larger than {self._expected}. {self._advice}")
        return content

    @property
    def _advice(self) -> str:
        return f"Give the published {self._kind.split()[-1]}."

    def _not_whole(self, reason: str) -> DataError:
        return DataError(
            f"{self._path} is not a whole {self._kind} ({reason}). It is cut off or damaged; "
            "copy or download it again."
        )


def _name_in(header: bytes) -> bytes:
    """Give a member's name; POSIX puts the front of a long one into a field of its own."""
    name, prefix = (field.split(b"\0", 1)[0] for field in (header[:100], header[345:500]))
    return prefix + b"/" + name if prefix and header[257:265] == b"ustar\x0000" else name


def _text(name: bytes) -> str:
    text = name[:4096].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
