"""Images as rows of a file: whoever needs some reads these, and nothing holds all pixels.

`StoredImages` is what a split's images are once they lie in a run folder, and stands where an array
could: rows, slices and index arrays give arrays, copied. What reads all images asks for one block
after the other (`image_blocks`), what needs them together asks whether they fit (`in_memory`).

What reads an .npy file's rows is in `tenfold.data.pixel_file`, encoded pictures in
`tenfold.data.pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tenfold.data.pictures import EncodedPictures


Pixels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.integer[Any]]

BLOCK_BYTES = 2**23
"""Of decoded pixels that are read at once where nobody asks for a number of images."""


MOST_KEPT_BYTES = 2**29
"""Of pixels that a training keeps in memory: more are read batch by batch."""


MOST_DETAIL = 4
"""So many times as large as the images are whole pictures at most: a crop of a sixteenth of a
picture is as large as an image then."""


class PixelRows(Protocol):
    """Where the pixels of images lie, all of one size."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Give number, height, width and channels."""

    def read(self, rows: Rows) -> Pixels:
        """Give some rows, copied, in this order."""


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images that lie somewhere else; rows of them are read when asked for.

    It can be pickled, if what it reads are files, and read by several threads.

    Parameters
    ----------
    image_shape
        Height, width and channels.
    count
        Of images there, chosen or not.
    pixels
        Their pixels in this size; None to decode them.
    pictures
        Their whole pictures; None if there are but pixels.
    chosen
        int64, shape (N,): which of them these are, in this order; None for all.
    changes
        What is done to a block of pixels after it is read, one after the other; each keeps shape
        and type, and does to an image the same whatever lies beside it.
    """

    image_shape: tuple[int, int, int]
    count: int
    pixels: PixelRows | None
    pictures: EncodedPictures | None = None
    chosen: npt.NDArray[np.int64] | None = None
    changes: tuple[Callable[[Pixels], Pixels], ...] = ()

    def __post_init__(self) -> None:
        assert self.pixels is not None or self.pictures is not None
        assert self.pixels is None or self.pixels.shape == (self.count, *self.image_shape)
        assert self.pictures is None or len(self.pictures) == self.count

    @classmethod
    def of(cls, pixels: PixelRows, pictures: EncodedPictures | None = None) -> StoredImages:
        """Give all images that pixels are there of."""
        count, height, width, channels = pixels.shape
        return cls((height, width, channels), count, pixels, pictures)

    def __len__(self) -> int:
        return self.count if self.chosen is None else len(self.chosen)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Give number, height, width and channels."""
        return (len(self), *self.image_shape)

    @property
    def ndim(self) -> int:
        """Give 4."""
        return 4

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Give uint8."""
        return np.dtype(np.uint8)

    @property
    def nbytes(self) -> int:
        """Give the bytes that all pixels would take."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(
        self, key: int | np.integer[Any] | slice | Sequence[int] | npt.NDArray[Any]
    ) -> Pixels:
        """Give some images, copied: (H, W, C) for a number, else (n, H, W, C)."""
        if isinstance(key, int | np.integer):
            one: Pixels = self._read(self._places(np.array([key])))[0]
            return one
        return self._read(self._places(key))

    def __iter__(self) -> Iterator[Pixels]:
        for block in image_blocks(self):
            yield from block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("images that lie in a file are copied wherever they are read")
        pixels = in_memory(self)
        return pixels if dtype is None else pixels.astype(dtype, copy=False)

    def rows(self, key: slice | Sequence[int] | npt.NDArray[Any]) -> StoredImages:
        """Give some of the images, in this order, without reading them."""
        return replace(self, chosen=self._places(key))

    def changed(self, change: Callable[[Pixels], Pixels]) -> StoredImages:
        """Give the same images with every block of pixels changed when it is read."""
        return replace(self, changes=(*self.changes, change))

    def at_size(self, size_px: int) -> StoredImages:
        """Give the same images as squares of another size, out of their pictures if there are any.

        Raises
        ------
        SettingsError
            If `size_px` is not positive.
        """
        from tenfold.data.images.pillow import check_image_size

        check_image_size(size_px)
        height, width, channels = self.image_shape
        if (height, width) == (size_px, size_px):
            return self
        shape = (size_px, size_px, channels)
        resized = None
        if self.pictures is None:
            assert self.pixels is not None
            resized = _ResizedRows(self.pixels, size_px)
        return replace(self, image_shape=shape, pixels=resized)

    def whole_pictures(self, rows: Sequence[int] | Rows) -> list[Pixels]:
        """Give pictures as large as they are, uint8, shape (H, W, C) each; or the pixels.

        Those whose shorter side has more than four times the pixels of the images are made so
        small.

        The changes are not made to pictures.
        """
        places = self._places(np.asarray(rows, np.int64))
        if self.pictures is None:
            return list(self._read(places))
        height, width, channels = self.image_shape
        return self.pictures.whole(places, channels, MOST_DETAIL * max(height, width))

    def encoded(self) -> Iterator[tuple[bytes, str]]:
        """Give the files of all pictures and their suffixes, in the order of the images."""
        assert self.pictures is not None
        return self.pictures.encoded(self._places(slice(None)))

    def batches(self, batches: Iterable[Rows]) -> Iterator[Pixels]:
        """Give one batch of rows after the other; what has to be decoded is, ahead."""
        places = (self._places(batch) for batch in batches)
        if self.pixels is None:
            assert self.pictures is not None
            yield from map(self._changed, self.pictures.decoded(places, self.image_shape))
        else:
            for batch in places:
                yield self._changed(self.pixels.read(batch))

    def _places(self, key: Any) -> npt.NDArray[np.int64]:
        """Give where the images of an index lie; IndexError if there is no such image."""
        if self.chosen is not None:
            chosen: npt.NDArray[np.int64] = self.chosen[key]
            return chosen
        if isinstance(key, slice):
            return np.arange(*key.indices(self.count))
        index = np.asarray(key)
        if index.dtype == np.bool_:
            if index.shape != (self.count,):
                raise IndexError(f"a mask of shape {index.shape} for {self.count:,} images")
            return np.flatnonzero(index)
        index = index.astype(np.int64) if index.size == 0 else index
        if index.size and not -self.count <= index.min() <= index.max() < self.count:
            raise IndexError(f"an index is out of range for {self.count:,} images")
        return np.where(index < 0, index + self.count, index).astype(np.int64, copy=False)

    def _read(self, places: npt.NDArray[np.int64]) -> Pixels:
        if self.pixels is not None:
            return self._changed(self.pixels.read(places))
        assert self.pictures is not None
        return self._changed(next(iter(self.pictures.decoded([places], self.image_shape))))

    def _changed(self, block: Pixels) -> Pixels:
        for change in self.changes:
            block = change(block)
        return block


AnyImages = Pixels | StoredImages
"""uint8, shape (N, H, W, C): in memory or stored."""


def image_blocks(images: AnyImages, block: int | None = None) -> Iterator[Pixels]:
    """Give all images, some after the other, never more than two blocks at once.

    Parameters
    ----------
    block
        Images in each; None for as many as 8 MiB hold.
    """
    if block is None:
        block = max(1, BLOCK_BYTES // max(1, int(np.prod(images.shape[1:]))))
    starts = range(0, len(images), block)
    if isinstance(images, StoredImages):
        yield from images.batches(
            np.arange(start, min(start + block, len(images))) for start in starts
        )
    else:
        for start in starts:
            yield images[start : start + block]


def some_images(images: AnyImages, rows: slice | npt.NDArray[Any]) -> AnyImages:
    """Give some of the images: stored ones are not read, others copied as NumPy does."""
    return images.rows(rows) if isinstance(images, StoredImages) else images[rows]


def images_at_size(images: AnyImages, size_px: int) -> AnyImages:
    """Give images as squares of another size; stored ones are scaled when they are read."""
    if isinstance(images, StoredImages):
        return images.at_size(size_px)
    from tenfold.data.images.pillow import resize_images

    return images if images.shape[1:3] == (size_px, size_px) else resize_images(images, size_px)


def whole_pictures(images: AnyImages, rows: Sequence[int] | Rows) -> list[Pixels]:
    """Give pictures as large as they are stored, uint8, shape (H, W, C) each.

    Images in memory, and stored ones without their pictures, are as large as all.
    """
    if isinstance(images, StoredImages):
        return images.whole_pictures(rows)
    return list(images[np.asarray(rows, np.int64)])


def fits_in_memory(images: AnyImages) -> bool:
    """Say whether images are there already, or few enough to be read once and kept."""
    return not isinstance(images, StoredImages) or images.nbytes <= MOST_KEPT_BYTES


def in_memory(images: AnyImages) -> Pixels:
    """Give all images as an array, if the memory can hold them and work on them.

    Raises
    ------
    DataError
        If it cannot; the message names a size that fits.
    """
    if not isinstance(images, StoredImages):
        return images
    from tenfold.data.images.reading import new_images

    result = new_images(len(images), images.image_shape)
    place = 0
    for block in image_blocks(images):
        result[place : place + len(block)] = block
        place += len(block)
    return result


@dataclass(frozen=True, eq=False)
class ArrayRows:
    """Pixels in memory."""

    array: Pixels

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Give number, height, width and channels."""
        count, height, width, channels = self.array.shape
        return count, height, width, channels

    def read(self, rows: Rows) -> Pixels:
        """Give some rows, copied, in this order."""
        return self.array[rows]


@dataclass(frozen=True)
class _ResizedRows:
    """Rows of others as squares of another size."""

    rows: PixelRows
    size_px: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        count, _, _, channels = self.rows.shape
        return count, self.size_px, self.size_px, channels

    def read(self, rows: Rows) -> Pixels:
        from tenfold.data.images.pillow import resize_images

        return resize_images(self.rows.read(rows), self.size_px)
