"""Where decoded pixels lie: in an array, in a file, or nowhere but in their pictures."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from tenfold.data.dataset import Images
from tenfold.data.pixel_file import PixelSpool
from tenfold.data.sources.source import SourceOptions
from tenfold.data.splits import DIGEST_BYTES, pixel_digest
from tenfold.data.store import MOST_KEPT_BYTES, AnyImages, ArrayRows, StoredImages

if TYPE_CHECKING:
    from tenfold.data.images.decoding import EncodedImage
    from tenfold.data.images.reading import DecodedImages

FileT = TypeVar("FileT", bound="EncodedImage")

MOST_LAID_BYTES = 2**34
"""Of pixels that are laid beside their pictures: a row is read sixty times as fast as decoded, and
takes of the disk about what its picture does; docs/decisions/031-the-image-store.md."""
_LAID_COPIES = 3  # As they are decoded, as the splits have them, and as much again left free.


class NewRows:
    """Where decoded images go: an array for few, a file for many, nowhere for too many.

    Parameters
    ----------
    folder
        For the file; None for where the system keeps temporary files.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.pixels: Images | PixelSpool | None = None
        self.digests: npt.NDArray[np.uint8] = np.empty((0, 0), np.uint8)

    def of(self, count: int, shape: tuple[int, int, int]) -> NewRows:
        """Make room."""
        from tenfold.data.images.reading import new_images

        self.digests = np.zeros((count, DIGEST_BYTES), np.uint8)
        size = count * math.prod(shape)
        if size <= MOST_KEPT_BYTES:
            self.pixels = new_images(count, shape)
        elif size <= min(MOST_LAID_BYTES, _free_bytes(self.folder) // _LAID_COPIES):
            self.pixels = PixelSpool((count, *shape), self.folder)
        return self

    def __setitem__(self, row: int, pixels: Images) -> None:
        self.digests[row] = np.frombuffer(pixel_digest(pixels), np.uint8)
        if self.pixels is not None:
            self.pixels[row] = pixels


def _free_bytes(folder: Path | None) -> int:
    place = Path(tempfile.gettempdir()) if folder is None else folder
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def stored_images(
    decoded: DecodedImages,
    pixels: Images | PixelSpool | None,
    files: Sequence[FileT],
    options: SourceOptions,
) -> AnyImages:
    """Give all images: with their pictures, where these say more than the pixels."""
    from tenfold.data.images.reading import limits_of
    from tenfold.data.pictures import EncodedPictures

    has_pictures = 2 * decoded.shrunk > decoded.is_read.sum()
    if isinstance(pixels, np.ndarray) and not has_pictures:
        return pixels
    pictures = EncodedPictures(files, decoded.ranges, limits_of(options.most_megapixels))
    return StoredImages(
        decoded.shape,
        len(files),
        ArrayRows(pixels) if isinstance(pixels, np.ndarray) else pixels,
        pictures if has_pictures or pixels is None else None,
    )


def reorder_rows(rows: npt.NDArray[np.uint8], order: npt.NDArray[np.intp]) -> None:
    """Make row k what row ``order[k]`` was, in place, for every k.

    Follows the permutation's cycles, so one spare row is all the memory it takes.

    Parameters
    ----------
    rows
        Shape (N, ...).
    order
        A permutation of 0 to N - 1.
    """
    assert len(order) == len(rows)
    sources = order.tolist()
    is_placed = [False] * len(sources)
    for start in range(len(sources)):
        if is_placed[start] or sources[start] == start:
            continue
        spare = rows[start].copy()
        target = start
        while (source := sources[target]) != start:
            rows[target] = rows[source]
            is_placed[target] = True
            target = source
        rows[target] = spare
        is_placed[target] = True
