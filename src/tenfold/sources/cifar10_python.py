"""The Python version of CIFAR-10: batches as pickled dictionaries, read without unpickling them.

Layout: https://www.cs.toronto.edu/~kriz/cifar.html, section "Python / Matlab versions".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tenfold.core.errors import DataError
from tenfold.sources.cifar10_batches import (
    BATCH_NAMES,
    PIXEL_BYTES,
    Batch,
    Cifar10Format,
    check_classes,
    check_labels,
)
from tenfold.sources.restricted_pickle import PickledArray, read_plain_pickle

_AGAIN = "Copy or download it again."
_MOST_NAMES = 1000


def check_batch_size(size_bytes: int, file: str, records: int) -> None:
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
            f"CIFAR-10's Python version has at most {largest:,}. {_AGAIN}"
        )


def parse_batch(content: bytes, file: str, records: int) -> Batch:
    """Give the images and labels of a pickled batch.

    Raises
    ------
    UnsafePickleError
        If the pickle asks for more than plain arrays.
    DataError
        If it is damaged, or data or labels are missing or of another kind.
    """
    check_batch_size(len(content), file, records)
    table = _read_table(content, file)
    pixels = _pixels(_entry(table, "data", file), file, records)
    labels = _entry(table, "labels", file)
    if type(labels) is not list or not all(type(label) is int for label in labels):
        raise DataError(f"{file}: 'labels' is not a list of whole numbers. {_AGAIN}")
    if len(labels) != records:
        raise DataError(
            f"{file} has {len(labels):,} labels; a batch has {records:,}. It is cut off or is not "
            f"CIFAR-10. {_AGAIN}"
        )
    # Python's numbers have no limit; what does not fit into 64 bits is out of range anyhow.
    numbers = np.array([max(-1, min(label, 2**31)) for label in labels], dtype=np.int64)
    check_labels(numbers, file)
    return Batch(pixels=pixels, labels=numbers)


def parse_classes(content: bytes, file: str) -> tuple[str, ...]:
    """Give the class names of ``batches.meta``.

    Raises
    ------
    UnsafePickleError
        If the pickle asks for more than plain data.
    DataError
        If it is damaged or does not name ten different classes.
    """
    names = _entry(_read_table(content, file), "label_names", file)
    if type(names) is not list:
        raise DataError(f"{file}: 'label_names' is not a list. {_AGAIN}")
    if len(names) > _MOST_NAMES:  # One long name may stand there again and again.
        raise DataError(f"{file} has {len(names):,} class names. {_AGAIN}")
    texts = [name.decode("utf-8", "replace") if type(name) is bytes else name for name in names]
    if not all(type(text) is str and text for text in texts):
        raise DataError(f"{file}: 'label_names' is not a list of names. {_AGAIN}")
    return check_classes(tuple(texts), file)


def _read_table(content: bytes, file: str) -> dict[Any, Any]:
    table = read_plain_pickle(content, file)
    if type(table) is not dict:
        raise DataError(
            f"{file} holds a {type(table).__name__}; a file of CIFAR-10's Python version holds a "
            f"dictionary. {_AGAIN}"
        )
    return table


def _entry(table: dict[Any, Any], name: str, file: str) -> Any:
    # Python 2's keys come as bytes, Python 3's as text.
    for key in (name.encode(), name):
        if key in table:
            return table[key]
    found = sorted(key[:80].decode("utf-8", "replace") for key in table if type(key) is bytes)
    found += sorted(key[:80] for key in table if type(key) is str)
    found = [key if key.isprintable() else ascii(key) for key in found]
    hint = " This is CIFAR-100, which tenfold does not read." if "fine_labels" in found else ""
    raise DataError(
        f"{file} has no entry {name!r}; it has {', '.join(found)[:200] or 'none'}.{hint} "
        "Give the folder or archive of CIFAR-10."
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


PYTHON = Cifar10Format(
    title="the Python version",
    folder_name="cifar-10-batches-py",
    archive_name="cifar-10-python.tar.gz",
    batch_files=BATCH_NAMES,
    meta_file="batches.meta",
    check_size=check_batch_size,
    parse_batch=parse_batch,
    parse_classes=parse_classes,
)
