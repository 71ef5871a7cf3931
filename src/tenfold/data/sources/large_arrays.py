"""Arrays of images that are too many for the memory: read in order, once, into a file of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tenfold.data.pixel_file import PixelSpool
from tenfold.data.store import MOST_KEPT_BYTES, PixelRows, Pixels, Rows, StoredImages

CHUNK_BYTES = 2**22


def are_large(sizes_bytes: Iterable[int]) -> bool:
    """Say whether arrays of images are rather not held in memory, all together."""
    return sum(sizes_bytes) > MOST_KEPT_BYTES


def spooled_images(
    chunks: Iterable[bytes], shape: tuple[int, ...], folder: Path | None
) -> StoredImages:
    """Give images out of their bytes, some after the other.

    Parameters
    ----------
    chunks
        The values in the order of the array's rows; of any lengths. Whoever gives them sees to it
        that there are all.
    shape
        (N, height, width) or (N, height, width, channels).
    folder
        Where the file of pixels is made; None for where the system keeps temporary files.
    """
    count, height, width = shape[:3]
    channels = shape[3] if len(shape) == 4 else 1
    spool = PixelSpool((count, height, width, channels), folder)
    row_bytes = height * width * channels
    row, rest = 0, b""
    for chunk in chunks:
        content = rest + chunk
        whole = len(content) // row_bytes
        pixels = np.frombuffer(content, np.uint8, whole * row_bytes)
        for image in pixels.reshape(whole, height, width, channels):
            spool[row] = image
            row += 1
        rest = content[whole * row_bytes :]
    return StoredImages.of(spool)


def joined_images(parts: Sequence[StoredImages]) -> StoredImages:
    """Give the images of several parts of one shape, one after the other."""
    return parts[0] if len(parts) == 1 else StoredImages.of(_JoinedRows(tuple(parts)))


@dataclass(frozen=True)
class _JoinedRows(PixelRows):
    parts: tuple[StoredImages, ...]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return sum(map(len, self.parts)), *self.parts[0].image_shape

    def read(self, rows: Rows) -> Pixels:
        result = np.empty((len(rows), *self.shape[1:]), np.uint8)
        first = 0
        for part in self.parts:
            own = np.flatnonzero((rows >= first) & (rows < first + len(part)))
            if len(own):
                result[own] = part[rows[own] - first]
            first += len(part)
        return result
