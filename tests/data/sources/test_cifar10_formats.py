from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.data.sources.cifar10_formats import PIXEL_BYTES
from tenfold.data.sources.cifar10_formats import parse_binary_batch as parse_batch
from tenfold.data.sources.cifar10_formats import parse_binary_classes as parse_classes

RECORD_BYTES = 1 + PIXEL_BYTES


def _records(labels: list[int], seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 256, (len(labels), RECORD_BYTES), dtype=np.uint8)
    table[:, 0] = labels
    return table.tobytes()


@given(labels=st.lists(st.integers(0, 9), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_every_byte_arrives_where_it_belongs(labels: list[int], seed: int) -> None:
    content = _records(labels, seed)
    batch = parse_batch(content, "data_batch_1.bin", len(labels))
    assert batch.labels.tolist() == labels
    for row in range(len(labels)):
        start = row * RECORD_BYTES + 1
        assert batch.pixels[row].tobytes() == content[start : start + RECORD_BYTES - 1]


@given(content=st.binary(max_size=3 * RECORD_BYTES), records=st.integers(1, 3))
def test_any_bytes_give_a_batch_or_a_data_error(content: bytes, records: int) -> None:
    try:
        batch = parse_batch(content, "f", records)
    except DataError:
        return
    assert len(content) == records * RECORD_BYTES
    assert batch.labels.max() <= 9


def test_a_truncated_file_says_how_much_is_missing() -> None:
    with pytest.raises(DataError, match=r"test_batch\.bin is cut off: 10 bytes are missing"):
        parse_batch(_records([1, 2])[:-10], "test_batch.bin", 2)


def test_an_overlong_file_says_by_how_much() -> None:
    with pytest.raises(DataError, match=r"too long by 3,073 bytes.*has 6,146.* \(2 records"):
        parse_batch(_records([1, 2, 3]), "f.bin", 2)


def test_a_label_out_of_range_names_file_record_and_value() -> None:
    with pytest.raises(DataError, match=r"f\.bin: record 1 \(counted from 0\) has label 200"):
        parse_batch(_records([3, 200, 10]), "f.bin", 3)


def test_class_names_are_read_without_the_empty_last_line() -> None:
    names = "abcdefghij"
    assert parse_classes("\n".join(names).encode() + b"\n\n", "f") == tuple(names)


@pytest.mark.parametrize("content", [b"", b"a\nb\n", b"a\n" * 10, b"\xff\xfe\x00"])
def test_wrong_class_names_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"batches\.meta\.txt"):
        parse_classes(content, "batches.meta.txt")
