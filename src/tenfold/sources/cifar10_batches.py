"""What both published versions of CIFAR-10 have in common: six batches, ten classes, one array.

Layout: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.data.dataset import ImageSplit

CLASSES: tuple[str, ...] = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SIDE_PX = 32
CHANNELS = 3
PIXEL_BYTES = CHANNELS * SIDE_PX * SIDE_PX
RECORDS_PER_BATCH = 10_000
TRAIN_BATCHES = 5
BATCH_NAMES: tuple[str, ...] = (
    *(f"data_batch_{number}" for number in range(1, TRAIN_BATCHES + 1)),
    "test_batch",
)
"""In the order of the array's slots: five training batches, then the test batch."""


@dataclass(frozen=True)
class Batch:
    """The content of one batch file.

    Parameters
    ----------
    pixels
        uint8, shape (N, 3072): 1024 red values row by row, then 1024 green, then 1024 blue.
    labels
        Integers 0 to 9, shape (N,).
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.integer]


@dataclass(frozen=True)
class Cifar10Format:
    """How one published version stores its batches.

    Parameters
    ----------
    title
        For messages, for example "the binary version".
    folder_name, archive_name
        What its publisher calls the unpacked folder and the archive.
    batch_files
        File names in the order of `BATCH_NAMES`.
    meta_file
        File with the class names.
    check_size
        Raises DataError if a batch file of so many bytes cannot be right, so that nothing
        oversized is ever read; arguments: bytes, file for the message, records expected.
    parse_batch
        Content of a batch file to a `Batch`; arguments: content, file, records expected.
    parse_classes
        Content of the meta file to ten class names; arguments: content, file.
    """

    title: str
    folder_name: str
    archive_name: str
    batch_files: tuple[str, ...]
    meta_file: str
    check_size: Callable[[int, str, int], None]
    parse_batch: Callable[[bytes, str, int], Batch]
    parse_classes: Callable[[bytes, str], tuple[str, ...]]


class Cifar10Arrays:
    """All images of CIFAR-10 in one array, filled batch by batch.

    Parameters
    ----------
    records_per_batch
        Images in each of the six batches; 10,000 in the published files.
    """

    def __init__(self, records_per_batch: int = RECORDS_PER_BATCH) -> None:
        count = records_per_batch * len(BATCH_NAMES)
        self.records_per_batch = records_per_batch
        self.classes = CLASSES
        self._images = np.empty((count, SIDE_PX, SIDE_PX, CHANNELS), dtype=np.uint8)
        self._labels = np.empty(count, dtype=np.int64)

    def fill(self, slot: int, batch: Batch) -> None:
        """Write a batch into its slot, 0 to 5, turning colour planes into pixels."""
        rows = slice(slot * self.records_per_batch, (slot + 1) * self.records_per_batch)
        images = self._images[rows].reshape(self.records_per_batch, -1, CHANNELS)  # N×1024×3
        planes = batch.pixels.reshape(self.records_per_batch, CHANNELS, -1)  # N×3×1024
        # One strided copy a channel is four times faster than one transposed copy of all three.
        for channel in range(CHANNELS):
            images[:, :, channel] = planes[:, channel]
        self._labels[rows] = batch.labels

    def splits(self) -> tuple[ImageSplit, ImageSplit]:
        """Give the training and the test split: views of the one array."""
        end = TRAIN_BATCHES * self.records_per_batch
        return (
            ImageSplit(self._images[:end], self._labels[:end]),
            ImageSplit(self._images[end:], self._labels[end:]),
        )


def check_labels(labels: npt.NDArray[np.integer], file: str) -> None:
    """Check that every label names a class.

    Raises
    ------
    DataError
        If one does not; names the file, the record and the value.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= len(CLASSES)))
    if wrong.size:
        record = int(wrong[0])
        raise DataError(
            f"{file}: record {record} (counted from 0) has label {int(labels[record])}; labels are "
            f"0 to {len(CLASSES) - 1}. {wrong.size:,} of {len(labels):,} labels are out of range: "
            "the file is damaged or is not CIFAR-10. Copy or download it again."
        )


def check_classes(names: tuple[str, ...], file: str) -> tuple[str, ...]:
    """Give `names` back if they are ten different ones.

    Raises
    ------
    DataError
        If they are not.
    """
    if len(names) != len(CLASSES) or len(set(names)) != len(names):
        raise DataError(
            f"{file} names {len(set(names))} different classes; CIFAR-10 has {len(CLASSES)}. "
            "Copy or download it again, or delete it to use the standard names."
        )
    return names
