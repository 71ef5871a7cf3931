"""A labelled image data set, and how it lies in a run folder.

There a split is plain NumPy files, read without pickle, and of images only the rows that somebody
asks for (`tenfold.data.store`):
``NAME_images.npy`` and ``NAME_labels.npy`` are as the source gave them, and so is
``NAME_pictures.arrow``, of photographs (`tenfold.data.pictures`). Beside them may lie
``NAME_corrected_labels.npy`` and ``NAME_kept.npy`` (places of the images that stay), what
corrections made of them; ``train_groups.npy``, which training images are near-duplicates; and
``train_validation.npy``, places of the training images that the source sets aside to validate by.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.array_files import load_array, load_arrays
from tenfold.core.errors import DataError, RunFolderError
from tenfold.core.files import atomic_path
from tenfold.core.records.data import NO_RANGES, LeftOutImage, ValueRanges
from tenfold.core.text import readable_values
from tenfold.data.pictures import read_pictures, write_pictures
from tenfold.data.pixel_file import PixelFile, mapped_array, unreadable, write_pixels
from tenfold.data.store import AnyImages, StoredImages, image_blocks, some_images

Images = npt.NDArray[np.uint8]
"""Shape (N, H, W, C), values 0 to 255; C is 1 (gray) or 3 (red, green, blue)."""
Labels = npt.NDArray[np.int64]
"""Shape (N,), each an index into the data set's classes."""
Indices = npt.NDArray[np.int64]
"""Shape (any,), places of images in a split."""
Groups = npt.NDArray[np.int64]
"""Shape (N,): images with the same number belong together. The number is the place of the group's
first image, so an image alone has its own place as its number."""
SplitName = Literal["train", "test"]

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the brightness that people see (ITU-R BT.601)."""


@dataclass(frozen=True)
class ImageSplit:
    """Images and their labels.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C), values 0 to 255; in memory, or stored and read when asked for.
    labels
        int64, shape (N,).
    """

    images: AnyImages
    labels: Labels

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8
        assert self.images.ndim == 4
        assert self.labels.dtype == np.int64
        assert self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Give height, width and channels."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> ImageSplit:
        """Give some rows as a split of their own: a copy, but of stored images nothing is read."""
        return ImageSplit(some_images(self.images, rows), self.labels[rows])

    def counts(self, class_count: int) -> tuple[int, ...]:
        """Give the number of images of each class."""
        return tuple(np.bincount(self.labels, minlength=class_count).tolist())

    def sha256(self) -> str:
        """Give the SHA-256 over shape, pixels and labels."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        for block in image_blocks(self.images):
            digest.update(np.ascontiguousarray(block).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Grouping:
    """Which images belong together, and what says so.

    Parameters
    ----------
    groups
        See `Groups`.
    by
        What they go by, in words.
    is_found
        Whether tenfold found them itself; else the data set or the user says so.
    """

    groups: Groups
    by: str
    is_found: bool = False


@dataclass(frozen=True)
class ImageDataset:
    """A labelled image data set with a training and a test split.

    Parameters
    ----------
    source
        Name of the source that gave it.
    location
        Where the files were read from.
    title, description
        For people.
    classes
        Class names; a label is an index into them. The same for both splits: a class that a split
        lacks does not shift the others.
    train, test
        The two splits, of one image shape.
    split_note
        How the test split came about.
    resized
        How many images had another size.
    left_out
        Images that could not be read.
    notes
        Sentences that a reader of the report should know.
    is_validation
        bool, shape (training images,): which of them the data set itself sets aside to validate
        by; None if it does not.
    value_ranges
        What files of more than 8 bits were scaled by.
    grouping
        Which images belong together, the training images before the test images: those of a
        patient, a writer, a video; None if nothing says so.
    train_order
        int64, shape (training images,): their rank in time; None if they have no order.
    """

    source: str
    location: str
    title: str
    description: str
    classes: tuple[str, ...]
    train: ImageSplit
    test: ImageSplit
    split_note: str
    resized: int = 0
    left_out: tuple[LeftOutImage, ...] = ()
    notes: tuple[str, ...] = ()
    is_validation: npt.NDArray[np.bool_] | None = None
    value_ranges: ValueRanges = NO_RANGES
    grouping: Grouping | None = None
    train_order: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        # Names come from file systems, and from here on they are stored.
        for name in ("location", "title", "description", "classes", "split_note", "notes"):
            object.__setattr__(self, name, readable_values(getattr(self, name)))
        left_out = (LeftOutImage(**readable_values(left.model_dump())) for left in self.left_out)
        object.__setattr__(self, "left_out", tuple(left_out))
        if len(self.classes) < 2:
            raise DataError(
                f"{self.location} holds one class only ({', '.join(self.classes) or 'none'}). "
                "A classifier needs images of at least two classes."
            )
        assert self.train.images.shape[1:] == self.test.images.shape[1:]
        assert self.is_validation is None or self.is_validation.shape == self.train.labels.shape
        assert self.grouping is None or len(self.grouping.groups) == len(self.train) + len(
            self.test
        )

    @property
    def train_groups(self) -> Groups | None:
        """Give which training images belong together; None if nothing says so."""
        # Numbers are places of first images, and training images come first.
        return None if self.grouping is None else self.grouping.groups[: len(self.train)]


_GROUPS = "train_groups.npy"
_ORDER = "train_order.npy"
_SERIES = "series.npy"
_VALIDATION = "train_validation.npy"


def write_split(folder: Path, name: SplitName, split: ImageSplit) -> None:
    """Write ``NAME_images.npy`` and ``NAME_labels.npy``, and ``NAME_pictures.arrow`` if there are.

    Images that have no pixels in the study's size lie there as pictures alone.
    """
    images = split.images
    pictures = images.pictures if isinstance(images, StoredImages) else None
    if not isinstance(images, StoredImages) or images.pixels is not None:
        with atomic_path(folder / f"{name}_images.npy") as part:
            write_pixels(part, images)
    if isinstance(images, StoredImages) and pictures is not None:
        with atomic_path(_pictures_path(folder, name)) as part:
            write_pictures(
                part,
                images.encoded(),
                count=len(images),
                shape=images.image_shape,
                ranges=pictures.ranges,
                limits=pictures.limits,
            )
    write_array(folder / f"{name}_labels.npy", split.labels)


def write_corrected(
    folder: Path, name: SplitName, labels: Labels, kept: npt.NDArray[np.int64]
) -> None:
    """Write what corrections made of a split, from then on `read_split` gives that.

    Parameters
    ----------
    labels
        int64, shape (N,): of all images of the split.
    kept
        int64, shape (M,), ascending: places of the images that stay.
    """
    write_array(folder / f"{name}_corrected_labels.npy", labels)
    write_array(folder / f"{name}_kept.npy", kept)


def read_split(folder: Path, name: SplitName) -> ImageSplit:
    """Read a split, with the corrections of the study applied; its images stay where they are.

    Raises
    ------
    RunFolderError
        If a file is missing or is not such an array.
    """
    split = read_given_split(folder, name)
    kept = kept_places(folder, name)
    if kept is None:
        return split
    labels = _read_array(folder / f"{name}_corrected_labels.npy")
    if labels.shape != split.labels.shape or (kept >= len(split)).any():
        raise RunFolderError(
            f"The corrected labels in {folder} do not fit its images. They were changed by hand; "
            "use another --out."
        )
    if len(kept) == len(split):
        return ImageSplit(split.images, labels)
    return ImageSplit(some_images(split.images, kept), labels[kept])


def read_given_split(folder: Path, name: SplitName) -> ImageSplit:
    """Read a split as the source gave it, whatever was corrected.

    Raises
    ------
    RunFolderError
        If a file is missing or is not such an array.
    """
    path, of_pictures = folder / f"{name}_images.npy", _pictures_path(folder, name)
    pictures = mapped = None
    try:
        if of_pictures.is_file():
            pictures, shape = read_pictures(of_pictures)
    except (OSError, ValueError) as error:
        raise unreadable(of_pictures, error) from None
    try:
        if pictures is None or path.is_file():
            mapped = mapped_array(path)
            shape = mapped.shape
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    labels = _read_array(folder / f"{name}_labels.npy")
    dtype = np.dtype(np.uint8) if mapped is None else mapped.dtype
    if (
        dtype != np.uint8
        or len(shape) != 4
        or labels.dtype.kind not in "iu"
        or labels.shape != shape[:1]
        or (pictures is not None and len(pictures) != shape[0])
    ):
        raise RunFolderError(
            f"{folder} does not hold images and labels that fit each other (images "
            f"{dtype} {shape}, labels {labels.dtype} {labels.shape}). It was "
            "changed by hand; use another --out."
        )
    pixels = None if mapped is None else PixelFile.of(path, mapped)
    stored = StoredImages(shape[1:], shape[0], pixels, pictures)
    return ImageSplit(stored, labels.astype(np.int64, copy=False))


def _pictures_path(folder: Path, name: SplitName) -> Path:
    return folder / f"{name}_pictures.arrow"


def read_labels(folder: Path, name: SplitName) -> Labels:
    """Read the labels of `read_split` alone."""
    kept = kept_places(folder, name)
    if kept is None:
        labels: Labels = _read_array(folder / f"{name}_labels.npy").astype(np.int64, copy=False)
        return labels
    corrected: Labels = _read_array(folder / f"{name}_corrected_labels.npy")[kept]
    return corrected


def kept_places(folder: Path, name: SplitName) -> npt.NDArray[np.int64] | None:
    """Give the places that the images of `read_split` have in the source's split.

    None if they are all there: the places are the same.
    """
    path = folder / f"{name}_kept.npy"
    kept: npt.NDArray[np.int64] | None = _read_array(path) if path.is_file() else None
    return kept


def write_groups(folder: Path, groups: Groups) -> None:
    """Write which images of the training split, corrected, are near-duplicates."""
    write_array(folder / _GROUPS, groups)


def read_groups(folder: Path) -> Groups:
    """Read which images of the training split, as `read_split` gives it, are near-duplicates."""
    groups: Groups = _read_array(folder / _GROUPS)
    return groups


def write_order(folder: Path, order: npt.NDArray[np.int64]) -> None:
    """Write the rank in time of the images of the training split, as the source gave it."""
    write_array(folder / _ORDER, order)


def read_order(folder: Path) -> npt.NDArray[np.int64] | None:
    """Read the rank in time of the images of the training split, as `read_split` gives it."""
    if not (folder / _ORDER).is_file():
        return None
    order: npt.NDArray[np.int64] = _read_array(folder / _ORDER)
    kept = kept_places(folder, "train")
    return order if kept is None else order[kept]


def write_series(folder: Path, groups: Groups) -> None:
    """Write which images belong together: the training images before the test images."""
    write_array(folder / _SERIES, groups)


def read_test_spans(folder: Path) -> npt.NDArray[np.bool_] | None:
    """Say of each test image, as `read_split` gives them, whether training has one of its group.

    None if nothing says what belongs together.
    """
    found = _read_series(folder)
    return None if found is None else np.isin(found[1], found[0])


def read_test_series(folder: Path) -> Groups | None:
    """Give each test image's group, as `read_split` gives them; None if nothing says which."""
    found = _read_series(folder)
    return None if found is None else found[1]


def _read_series(folder: Path) -> tuple[Groups, Groups] | None:
    """Give the groups of the training's and of the test images."""
    if not (folder / _SERIES).is_file():
        return None
    groups: Groups = _read_array(folder / _SERIES)
    count = len(_read_array(folder / "train_labels.npy"))
    train, test = groups[:count], groups[count:]
    kept = [kept_places(folder, name) for name in ("train", "test")]
    train = train if kept[0] is None else train[kept[0]]
    test = test if kept[1] is None else test[kept[1]]
    return train, test


def write_validation(folder: Path, is_validation: npt.NDArray[np.bool_]) -> None:
    """Write which images of the training split, as the source gave it, are to validate by."""
    write_array(folder / _VALIDATION, np.flatnonzero(is_validation))


def read_validation(folder: Path) -> npt.NDArray[np.bool_] | None:
    """Read which images of the training split, as `read_split` gives it, are to validate by.

    Returns
    -------
    bool, shape (N,); None if the source sets none aside, or corrections left none of them.

    Raises
    ------
    RunFolderError
        If a file is missing or is not such an array.
    """
    path = folder / _VALIDATION
    if not path.is_file():
        return None
    count = len(_read_array(folder / "train_labels.npy"))
    places = _read_array(path)
    is_list = places.ndim == 1 and places.dtype.kind in "iu"
    if not is_list or ((places < 0) | (places >= count)).any():
        raise RunFolderError(
            f"{path} does not fit the images beside it. It was changed by hand; use another --out."
        )
    is_validation = np.zeros(count, dtype=bool)
    is_validation[places] = True
    kept = kept_places(folder, "train")
    is_validation = is_validation if kept is None else is_validation[kept]
    return is_validation if is_validation.any() else None


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write one array as .npy, atomically."""
    with atomic_path(path) as part, part.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def write_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write named arrays as .npz, atomically."""
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays from an .npz file.

    Raises
    ------
    RunFolderError
        If the file is missing or damaged.
    """
    try:
        return load_arrays(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def _read_array(path: Path) -> npt.NDArray[Any]:
    try:
        return load_array(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
