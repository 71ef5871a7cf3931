"""Pixels of images, all of one size, as rows of a file: an .npy file, or one that is being made.

Rows are read by place rather than out of a memory map, whose pages would count as this process's
memory until somebody else needs them.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tenfold.core.array_files import load_array
from tenfold.core.errors import RunFolderError
from tenfold.core.files import storage_errors
from tenfold.data.store import AnyImages, Pixels, Rows, image_blocks

if TYPE_CHECKING:
    from typing import BinaryIO


SPOOL_SUFFIX = ".pixels"
"""Of a file of pixels that waits for its data set."""


@dataclass(frozen=True)
class PixelFile:
    """Rows of an .npy file, opened whenever some are read.

    Parameters
    ----------
    path
        uint8, shape (N, H, W, C).
    shape
        That.
    offset_bytes
        Where the first row begins.
    """

    path: Path
    shape: tuple[int, int, int, int]
    offset_bytes: int

    @classmethod
    def of(cls, path: Path, mapped: np.memmap[Any, Any]) -> PixelFile:
        """Give what `mapped_array` found to be images."""
        count, height, width, channels = mapped.shape
        return cls(path, (count, height, width, channels), mapped.offset)

    @property
    def row_bytes(self) -> int:
        """Give the bytes of one image."""
        return int(np.prod(self.shape[1:], dtype=np.int64))

    def read(self, rows: Rows) -> Pixels:
        """Give some rows, copied, in this order.

        Raises
        ------
        RunFolderError
            If the file is no longer what it was.
        """
        result = np.empty((len(rows), *self.shape[1:]), np.uint8)
        if not result.size:
            return result
        flat = memoryview(result.reshape(-1).data)
        try:
            with self.path.open("rb", buffering=0) as file:
                for start, stop in runs_of(rows):
                    file.seek(self.offset_bytes + int(rows[start]) * self.row_bytes)
                    fill(file, flat[start * self.row_bytes : stop * self.row_bytes])
        except OSError as error:
            raise unreadable(self.path, error) from None
        return result


def runs_of(rows: Rows) -> Iterator[tuple[int, int]]:
    """Give begin and end, in `rows`, of those that lie one after the other in a file."""
    if len(rows):
        ends = (np.flatnonzero(np.diff(rows) != 1) + 1).tolist()
        yield from zip([0, *ends], [*ends, len(rows)], strict=True)


def fill(file: BinaryIO, part: memoryview) -> None:
    """Read until a buffer is full.

    Raises
    ------
    OSError
        If the file ends before.
    """
    while part:
        count = file.readinto(part)  # type: ignore[attr-defined]
        if not count:
            raise OSError("it ends too early")
        part = part[count:]


def mapped_array(path: Path) -> np.memmap[Any, Any]:
    """Look at an .npy file's header; its rows lie one after the other.

    Raises
    ------
    OSError
        If the file is missing or is none.
    ValueError
        If it is damaged.
    """
    array = load_array(path, is_mapped=True)
    assert isinstance(array, np.memmap)
    if not array.flags.c_contiguous:
        raise ValueError("its rows do not lie one after the other")
    return array


def write_pixels(path: Path, images: AnyImages) -> None:
    """Write images as one .npy file, block by block, the bytes that NumPy writes; not atomic."""
    header = {"descr": "|u1", "fortran_order": False, "shape": tuple(images.shape)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in image_blocks(images):
            file.write(np.ascontiguousarray(block).data)


class PixelSpool:
    """Pixels on their way to a data set: written row by row, in ascending order, then read.

    The file goes when nobody holds this any more.

    Parameters
    ----------
    shape
        Number, height, width and channels.
    folder
        Where the file is made; None for where the system keeps temporary files.
    """

    def __init__(self, shape: tuple[int, int, int, int], folder: Path | None) -> None:
        self.shape = shape
        with storage_errors(folder or Path(tempfile.gettempdir())):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(SPOOL_SUFFIX, "decoded-", folder)
        self._pixels = PixelFile(Path(name), shape, 0)
        self._file = os.fdopen(descriptor, "wb")
        self._finalizer = weakref.finalize(self, _discard, self._file, self._pixels.path)
        with storage_errors(self._pixels.path):
            self._file.truncate(shape[0] * self._pixels.row_bytes)

    def __setitem__(self, row: int, pixels: Pixels) -> None:
        with storage_errors(self._pixels.path):
            place = row * self._pixels.row_bytes
            if self._file.tell() != place:
                self._file.seek(place)
            self._file.write(np.ascontiguousarray(pixels).data)

    def read(self, rows: Rows) -> Pixels:
        """Give some rows, copied, in this order."""
        with storage_errors(self._pixels.path):
            self._file.flush()
        return self._pixels.read(rows)


def _discard(file: BinaryIO, path: Path) -> None:
    file.close()
    path.unlink(missing_ok=True)


def unreadable(path: Path, error: Exception) -> RunFolderError:
    """Say that a file of a run folder cannot be read."""
    return RunFolderError(
        f"{path} cannot be read ({error}). It is missing or damaged; run the same command again."
    )
