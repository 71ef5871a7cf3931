"""CIFAR-10's batches, in the binary and the Python layout; CIFAR-100's differ by their labels.

A record of the binary version is one label byte and 3072 pixel bytes; the Python version holds
pickled dictionaries, which are read without unpickling them.
Layout: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.data.dataset import ImageSplit
from tenfold.data.restricted_pickle import PickledArray, read_plain_pickle

CLASSES: tuple[str, ...] = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SIDE_PX, CHANNELS = 32, 3
PIXEL_BYTES = CHANNELS * SIDE_PX * SIDE_PX
RECORDS_PER_BATCH = 10_000
BATCH_NAMES: tuple[str, ...] = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
"""In the order of the array's slots: five training batches, then the test batch."""
_AGAIN = "Copy or download it again."


@dataclass(frozen=True)
class CifarLabels:
    """How CIFAR-10 or CIFAR-100 labels its images.

    Parameters
    ----------
    title
        Of the data set.
    class_count
        Number of classes.
    label_bytes
        Before the pixels of each record of the binary version; the class's own is the last.
    labels_entry, names_entry
        Of the dictionaries of the Python version: of a batch, and of the meta file.
    """

    title: str
    class_count: int
    label_bytes: int
    labels_entry: str
    names_entry: str


CIFAR10_LABELS = CifarLabels("CIFAR-10", len(CLASSES), 1, "labels", "label_names")


@dataclass(frozen=True)
class Batch:
    """The content of one batch file.

    Parameters
    ----------
    pixels
        uint8, shape (N, 3072): 1024 red values row by row, then 1024 green, then 1024 blue.
    labels
        Integers from 0 on, shape (N,).
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.integer]


@dataclass(frozen=True)
class CifarFormat:
    """How one published version stores its batches.

    Parameters
    ----------
    title
        For messages, for example "the binary version".
    folder_name, archive_name
        What its publisher calls the unpacked folder and the archive.
    batch_files
        File names in the order of the arrays' slots: the test batch last.
    meta_file
        File with the class names.
    check_size
        Raises DataError if a batch file of so many bytes cannot be right, so that nothing
        oversized is ever read; arguments: bytes, file for the message, records expected.
    parse_batch
        Content of a batch file to a `Batch`; arguments: content, file, records expected.
    parse_classes
        Content of the meta file to class names; arguments: content, file.
    labels
        Which of the two data sets it is.
    other_files
        What lies in the published archive beside, and is not missed.
    least_files
        Of batches and the meta file, so many are enough to know the version by.
    """

    title: str
    folder_name: str
    archive_name: str
    batch_files: tuple[str, ...]
    meta_file: str
    check_size: Callable[[int, str, int], None]
    parse_batch: Callable[[bytes, str, int], Batch]
    parse_classes: Callable[[bytes, str], tuple[str, ...]]
    labels: CifarLabels = CIFAR10_LABELS
    other_files: tuple[str, ...] = ("readme.html",)
    least_files: int = 1


class CifarArrays:
    """All images of a data set in one array, filled batch by batch.

    Parameters
    ----------
    records
        Images in each batch; the last is the test batch.
    classes
        Names of the classes, as long as no file names them.
    """

    def __init__(self, records: Sequence[int], classes: tuple[str, ...]) -> None:
        self.records = tuple(records)
        self.classes = classes
        self._images = np.empty((sum(records), SIDE_PX, SIDE_PX, CHANNELS), dtype=np.uint8)
        self._labels = np.empty(sum(records), dtype=np.int64)

    def fill(self, slot: int, batch: Batch) -> None:
        """Write a batch into its slot, turning colour planes into pixels."""
        count, start = self.records[slot], sum(self.records[:slot])
        rows = slice(start, start + count)
        images = self._images[rows].reshape(count, -1, CHANNELS)  # N×1024×3
        planes = batch.pixels.reshape(count, CHANNELS, -1)  # N×3×1024
        # One strided copy a channel is four times faster than one transposed copy of all three.
        for channel in range(CHANNELS):
            images[:, :, channel] = planes[:, channel]
        self._labels[rows] = batch.labels

    def splits(self) -> tuple[ImageSplit, ImageSplit]:
        """Give the training and the test split: views of the one array."""
        end = sum(self.records[:-1])
        return (
            ImageSplit(self._images[:end], self._labels[:end]),
            ImageSplit(self._images[end:], self._labels[end:]),
        )


class Cifar10Arrays(CifarArrays):
    """CIFAR-10's six batches of `records_per_batch` images each; 10,000 as published."""

    def __init__(self, records_per_batch: int = RECORDS_PER_BATCH) -> None:
        super().__init__([records_per_batch] * len(BATCH_NAMES), CLASSES)


def check_labels(
    labels: npt.NDArray[np.integer], file: str, of: CifarLabels = CIFAR10_LABELS
) -> None:
    """Check that every label names a class.

    Raises
    ------
    DataError
        If one does not; names the file, the record and the value.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= of.class_count))
    if wrong.size:
        record = int(wrong[0])
        raise DataError(
            f"{file}: record {record} (counted from 0) has label {int(labels[record])}; labels are "
            f"0 to {of.class_count - 1}. {wrong.size:,} of {len(labels):,} labels are out of "
            f"range: the file is damaged or is not {of.title}. {_AGAIN}"
        )


def check_classes(
    names: tuple[str, ...], file: str, of: CifarLabels = CIFAR10_LABELS
) -> tuple[str, ...]:
    """Give `names` back if they are as many different ones as there are classes.

    Raises
    ------
    DataError
        If they are not.
    """
    if len(names) != of.class_count or len(set(names)) != len(names):
        raise DataError(
            f"{file} names {len(set(names))} different classes; {of.title} has {of.class_count}. "
            "Copy or download it again, or delete it to use the standard names."
        )
    return names


def check_binary_batch_size(
    size_bytes: int, file: str, records: int, of: CifarLabels = CIFAR10_LABELS
) -> None:
    """Check that a batch file has exactly the bytes that its records need.

    Raises
    ------
    DataError
        If it is cut off or too long.
    """
    record_bytes = of.label_bytes + PIXEL_BYTES
    expected = records * record_bytes
    if size_bytes == expected:
        return
    what = (
        f"cut off: {expected - size_bytes:,} bytes are missing"
        if size_bytes < expected
        else f"too long by {size_bytes - expected:,} bytes"
    )
    raise DataError(
        f"{file} is {what}. It has {size_bytes:,} bytes; a batch of {of.title}'s binary version "
        f"has {expected:,} ({records:,} records of {record_bytes:,}). {_AGAIN}"
    )


def parse_binary_batch(
    content: bytes, file: str, records: int, of: CifarLabels = CIFAR10_LABELS
) -> Batch:
    """Give a batch file's images and labels as views of `content`.

    Raises
    ------
    DataError
        If the size is wrong or a label is out of range.
    """
    check_binary_batch_size(len(content), file, records, of)
    table = np.frombuffer(content, dtype=np.uint8).reshape(records, of.label_bytes + PIXEL_BYTES)
    labels = table[:, of.label_bytes - 1]
    check_labels(labels, file, of)
    return Batch(pixels=table[:, of.label_bytes :], labels=labels)


def parse_binary_classes(
    content: bytes, file: str, of: CifarLabels = CIFAR10_LABELS
) -> tuple[str, ...]:
    """Give the class names of ``batches.meta.txt``: one a line.

    Raises
    ------
    DataError
        If they are not as many different names as there are classes.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(
            f"{file} is not a text file. It should hold {of.class_count} class names, one a line; "
            "copy it again, or delete it to use the standard names."
        ) from None
    return check_classes(tuple(text.split()), file, of)


def check_python_batch_size(
    size_bytes: int, file: str, records: int, of: CifarLabels = CIFAR10_LABELS
) -> None:
    """Check that a batch file is not far larger than its records can need.

    Raises
    ------
    DataError
        If it is.
    """
    # Twice the pixels: file names and labels add 1%, and Python 3 under protocol 2 writes each
    # byte above 127 as two.
    largest = 2 * records * PIXEL_BYTES + 2**20
    if size_bytes > largest:
        raise DataError(
            f"{file} is too long: it has {size_bytes:,} bytes; a batch of {records:,} records in "
            f"{of.title}'s Python version has at most {largest:,}. {_AGAIN}"
        )


def parse_python_batch(
    content: bytes, file: str, records: int, of: CifarLabels = CIFAR10_LABELS
) -> Batch:
    """Give the images and labels of a pickled batch.

    Raises
    ------
    UnsafePickleError
        If the pickle asks for more than plain arrays.
    DataError
        If it is damaged, or data or labels are missing or of another kind.
    """
    check_python_batch_size(len(content), file, records, of)
    table = _read_table(content, file, of)
    pixels = _pixels(_entry(table, "data", file, of), file, records)
    labels = _entry(table, of.labels_entry, file, of)
    if type(labels) is not list or not all(type(label) is int for label in labels):
        raise DataError(f"{file}: {of.labels_entry!r} is not a list of whole numbers. {_AGAIN}")
    if len(labels) != records:
        raise DataError(
            f"{file} has {len(labels):,} labels; a batch has {records:,}. It is cut off or is not "
            f"{of.title}. {_AGAIN}"
        )
    # Python's numbers have no limit; what does not fit into 64 bits is out of range anyhow.
    numbers = np.array([max(-1, min(label, 2**31)) for label in labels], dtype=np.int64)
    check_labels(numbers, file, of)
    return Batch(pixels=pixels, labels=numbers)


def parse_python_classes(
    content: bytes, file: str, of: CifarLabels = CIFAR10_LABELS
) -> tuple[str, ...]:
    """Give the class names of ``batches.meta``.

    Raises
    ------
    UnsafePickleError
        If the pickle asks for more than plain data.
    DataError
        If it is damaged or does not name as many different classes as there are.
    """
    names = _entry(_read_table(content, file, of), of.names_entry, file, of)
    if type(names) is not list:
        raise DataError(f"{file}: {of.names_entry!r} is not a list. {_AGAIN}")
    if len(names) > 1000:  # One long name may stand there again and again.
        raise DataError(f"{file} has {len(names):,} class names. {_AGAIN}")
    texts = [name.decode("utf-8", "replace") if type(name) is bytes else name for name in names]
    if not all(type(text) is str and text for text in texts):
        raise DataError(f"{file}: {of.names_entry!r} is not a list of names. {_AGAIN}")
    return check_classes(tuple(texts), file, of)


def _read_table(content: bytes, file: str, of: CifarLabels) -> dict[Any, Any]:
    table = read_plain_pickle(content, file)
    if type(table) is not dict:
        raise DataError(
            f"{file} holds a {type(table).__name__}; a file of {of.title}'s Python version "
            f"holds a dictionary. {_AGAIN}"
        )
    return table


def _entry(table: dict[Any, Any], name: str, file: str, of: CifarLabels) -> Any:
    # Python 2's keys come as bytes, Python 3's as text.
    for key in (name.encode(), name):
        if key in table:
            return table[key]
    found = sorted(key[:80].decode("utf-8", "replace") for key in table if type(key) is bytes)
    found += sorted(key[:80] for key in table if type(key) is str)
    found = [key if key.isprintable() else ascii(key) for key in found]
    advice = (
        "This is CIFAR-100: give the folder or archive of it alone."
        if of is CIFAR10_LABELS and "fine_labels" in found
        else f"Give the folder or archive of {of.title}."
    )
    raise DataError(
        f"{file} has no entry {name!r}; it has {', '.join(found)[:200] or 'none'}. {advice}"
    )


def _pixels(data: Any, file: str, records: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    expected = f"uint8, {records:,} × {PIXEL_BYTES:,}"
    if type(data) is not PickledArray or data.dtype is None:
        raise DataError(f"{file}: 'data' is not an array; expected {expected}. {_AGAIN}")
    if data.dtype.code not in ("u1", "|u1", "B", "uint8"):
        raise DataError(
            f"{file}: 'data' has type {data.dtype.code[:20]!r}; expected {expected}. {_AGAIN}"
        )
    if data.shape != (records, PIXEL_BYTES) or len(data.content) != records * PIXEL_BYTES:
        shape = " × ".join(str(size)[:20] for size in data.shape[:8])
        raise DataError(
            f"{file}: 'data' has shape {shape} and {len(data.content):,} bytes; expected "
            f"{expected}. {_AGAIN}"
        )
    order = "F" if data.is_fortran else "C"
    flat = np.frombuffer(data.content, dtype=np.uint8)
    return flat.reshape((records, PIXEL_BYTES), order=order)  # type: ignore[call-overload, no-any-return]


BINARY = CifarFormat(
    title="the binary version",
    folder_name="cifar-10-batches-bin",
    archive_name="cifar-10-binary.tar.gz",
    batch_files=tuple(f"{name}.bin" for name in BATCH_NAMES),
    meta_file="batches.meta.txt",
    check_size=check_binary_batch_size,
    parse_batch=parse_binary_batch,
    parse_classes=parse_binary_classes,
)

PYTHON = CifarFormat(
    title="the Python version",
    folder_name="cifar-10-batches-py",
    archive_name="cifar-10-python.tar.gz",
    batch_files=BATCH_NAMES,
    meta_file="batches.meta",
    check_size=check_python_batch_size,
    parse_batch=parse_python_batch,
    parse_classes=parse_python_classes,
)
