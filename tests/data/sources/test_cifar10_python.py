from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.data.sources.cifar10_formats import parse_python_batch as parse_batch
from tenfold.data.sources.cifar10_formats import parse_python_classes as parse_classes


def _content(protocol: int = 2, **changes: Any) -> bytes:
    table = {"data": np.arange(2 * 3072).astype(np.uint8).reshape(2, 3072), "labels": [3, 9]}
    return pickle.dumps({**table, **changes}, protocol)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_a_batch_is_read_under_every_protocol(protocol: int) -> None:
    batch = parse_batch(_content(protocol), "f", 2)
    assert batch.labels.tolist() == [3, 9]
    assert np.array_equal(batch.pixels, np.arange(2 * 3072).astype(np.uint8).reshape(2, 3072))


def test_a_fortran_ordered_array_is_read_right() -> None:
    array = np.asfortranarray(np.arange(2 * 3072).astype(np.uint8).reshape(2, 3072))
    assert np.array_equal(parse_batch(_content(data=array), "f", 2).pixels, array)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": [1, 2]}, "'data' is not an array"),
        ({"data": np.zeros((2, 3072))}, "'data' has type 'f8'; expected uint8, 2 × 3,072"),
        ({"data": np.zeros((2, 3071), np.uint8)}, "'data' has shape 2 × 3071"),
        ({"data": np.zeros((3, 3072), np.uint8)}, "'data' has shape 3 × 3072"),
        ({"labels": (1, 2)}, "'labels' is not a list of whole numbers"),
        ({"labels": [1, "2"]}, "'labels' is not a list of whole numbers"),
        ({"labels": [1, True]}, "'labels' is not a list of whole numbers"),
        ({"labels": [1]}, "has 1 labels; a batch has 2"),
        ({"labels": [1, 10]}, r"record 1 \(counted from 0\) has label 10"),
        ({"labels": [-1, 1]}, r"record 0 \(counted from 0\) has label -1"),
        ({"labels": [2**80, 1]}, "record 0"),
    ],
)
def test_wrong_content_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parse_batch(_content(**changes), "data_batch_2", 2)
    assert "data_batch_2" in str(caught.value)


def test_a_missing_entry_is_named_and_cifar_100_recognised() -> None:
    content = pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "fine_labels": [1, 2]}, 2)
    with pytest.raises(DataError, match=r"no entry 'labels'.*This is CIFAR-100"):
        parse_batch(content, "train", 2)


def test_something_else_than_a_dictionary_is_refused() -> None:
    with pytest.raises(DataError, match="holds a list"):
        parse_batch(pickle.dumps([1, 2]), "f", 2)


def test_a_far_too_long_file_is_refused_unread() -> None:
    with pytest.raises(DataError, match="too long: it has 2,000,000 bytes"):
        parse_batch(b"\x80" * 2_000_000, "f", 2)


def test_class_names_come_as_bytes_or_text() -> None:
    names = [str(number) for number in range(10)]
    for key, values in (("label_names", names), (b"label_names", [n.encode() for n in names])):
        assert parse_classes(pickle.dumps({key: values}, 3), "f") == tuple(names)


@pytest.mark.parametrize("value", ["abc", [1] * 10, ["a"] * 10, [], [[]]])
def test_wrong_class_names_are_refused(value: object) -> None:
    with pytest.raises(DataError, match=r"batches\.meta"):
        parse_classes(pickle.dumps({"label_names": value}, 3), "batches.meta")
