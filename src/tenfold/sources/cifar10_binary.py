"""The binary version of CIFAR-10: records of one label byte and 3072 pixel bytes.

Layout: https://www.cs.toronto.edu/~kriz/cifar.html, section "Binary version".
"""

from __future__ import annotations

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

RECORD_BYTES = 1 + PIXEL_BYTES


def check_batch_size(size_bytes: int, file: str, records: int) -> None:
    """Check that a batch file has exactly the bytes that its records need.

    Raises
    ------
    DataError
        If it is cut off or too long.
    """
    expected = records * RECORD_BYTES
    if size_bytes == expected:
        return
    what = (
        f"cut off: {expected - size_bytes:,} bytes are missing"
        if size_bytes < expected
        else f"too long by {size_bytes - expected:,} bytes"
    )
    raise DataError(
        f"{file} is {what}. It has {size_bytes:,} bytes; a batch of CIFAR-10's binary version has "
        f"{expected:,} ({records:,} records of {RECORD_BYTES:,}). Copy or download it again."
    )


def parse_batch(content: bytes, file: str, records: int) -> Batch:
    """Give a batch file's images and labels as views of `content`.

    Raises
    ------
    DataError
        If the size is wrong or a label is out of range.
    """
    check_batch_size(len(content), file, records)
    table = np.frombuffer(content, dtype=np.uint8).reshape(records, RECORD_BYTES)
    labels = table[:, 0]
    check_labels(labels, file)
    return Batch(pixels=table[:, 1:], labels=labels)


def parse_classes(content: bytes, file: str) -> tuple[str, ...]:
    """Give the class names of ``batches.meta.txt``: one a line.

    Raises
    ------
    DataError
        If they are not ten different names.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(
            f"{file} is not a text file. It should hold ten class names, one a line; copy it "
            "again, or delete it to use the standard names."
        ) from None
    return check_classes(tuple(text.split()), file)


BINARY = Cifar10Format(
    title="the binary version",
    folder_name="cifar-10-batches-bin",
    archive_name="cifar-10-binary.tar.gz",
    batch_files=tuple(f"{name}.bin" for name in BATCH_NAMES),
    meta_file="batches.meta.txt",
    check_size=check_batch_size,
    parse_batch=parse_batch,
    parse_classes=parse_classes,
)
