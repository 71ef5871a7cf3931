"""Whatever is handed over as labels is taken, or refused in a sentence that says what to write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.data.array_labels import encode_labels

pandas = pytest.importorskip("pandas")


def message_of(y: Any, count: int = 4) -> str:
    with pytest.raises(DataError) as caught:
        encode_labels(y, count)
    return str(caught.value)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (["b", "a", "b", "b"], ["a", "b"]),
        (("b", "a", "b", "b"), ["a", "b"]),
        (np.array(["b", "a", "b", "b"], object), ["a", "b"]),
        (np.array(["b", "a", "b", "b"], np.dtypes.StringDType()), ["a", "b"]),
        ([np.str_("b"), "a", "b", "b"], ["a", "b"]),
        ([1, 0, 1, 1], [0, 1]),
        ([1.0, 0.0, 1.0, 1.0], [0, 1]),
        ([1, np.int64(0), True, 1], [0, 1]),
        ([True, False, True, True], [False, True]),
        (np.array([1, 0, 1, 1], np.uint8), [0, 1]),
        (np.array([2, 1, 2, 2], object), [1, 2]),
        (torch.tensor([1, 0, 1, 1]), [0, 1]),
        ([torch.tensor(1), torch.tensor(0), torch.tensor(1), torch.tensor(1)], [0, 1]),
        (pandas.Series(["b", "a", "b", "b"], index=[9, 8, 7, 6]), ["a", "b"]),
        (pandas.Categorical(["b", "a", "b", "b"], categories=["b", "a", "c"]), ["a", "b"]),
        (pandas.Series([1, 0, 1, 1], dtype="Int64"), [0, 1]),
        (pandas.Series([True, False, True, True], dtype="boolean"), [False, True]),
    ],
)
def test_labels_of_every_kind_are_encoded(y: Any, classes: list[Any]) -> None:
    labels, found = encode_labels(y, 4)
    assert found.tolist() == classes
    assert labels.tolist() == [1, 0, 1, 1]
    assert labels.dtype == np.int64


@pytest.mark.parametrize(
    "y",
    [
        ["a", None, "b", "a"],
        ["a", np.nan, "b", "a"],
        ["a", pandas.NA, "b", "a"],
        [0, None, 1, 0],
        [0.0, np.nan, 1.0, 0.0],
        [0.0, -np.inf, 1.0, 0.0],
        np.array(["a", None, "b", "a"], object),
        pandas.Series(["a", None, "b", "a"]),
        pandas.Series([0, None, 1, 0], dtype="Int64"),
        pandas.Categorical(["a", None, "b", "a"]),
        pandas.Series(
            pandas.to_datetime(["2020-01-01", None, "2020-01-02", "2020-01-01"]), dtype=object
        ),
        torch.tensor([0.0, float("nan"), 1.0, 0.0]),
    ],
)
def test_a_missing_label_is_called_so_and_its_image_left_out(y: Any) -> None:
    text = message_of(y)
    assert "1 label is missing, the first that of image 1" in text
    names = {"X": np.arange(4), "y": y, "np": np}
    exec(text.split("for example with ")[1], names)
    assert names["X"].tolist() == [0, 2, 3]
    assert len(names["y"]) == 3


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.eye(2)[[1, 0, 1, 1]], 2),
        (np.eye(2, dtype=bool)[[1, 0, 1, 1]].tolist(), 2),
        (torch.eye(3)[[1, 0, 1, 1]], 2),
        (np.array([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]), 2),
        ([b"b", b"a", b"b", b"b"], 2),
        ([1, "a", 1, 1], 2),
        ([("b",), "a", "b", "b"], 3),
        (["a", b"b", "a", "a"], None),
        (np.array([1, 2, 1, 1], "M8[D]"), 2),
        (np.array([1, 2, 1, 1]) * 1j, 2),
        (iter(["a", "b", "a", "a"]), 2),
    ],
)
def test_the_advice_gives_labels(y: Any, classes: int | None) -> None:
    text = message_of(y)
    if classes is None:
        assert "bytes" in text
        return
    names = {"y": y, "np": np}
    exec(text.split("Write: ")[1], names)
    assert len(encode_labels(names["y"], 4)[1]) == classes


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (None, "the target y is None"),
        ("abab", "received a str"),
        ({"a": 1}, "received a dict"),
        ([1, 2, 1], "4 images, 3 labels"),
        ([], "4 images, 0 labels"),
        (["a"] * 4, "one class only"),
        ([0.5, 1.5, 2.0, 3.0], "Unknown label type: continuous"),
        ([["a", "b"]] * 4, "y should be a 1d array"),
        ([["a"], ["a", "b"], ["a"], ["b"]], "cannot be read as an array"),
        (3, "y should be a 1d array"),
    ],
)
def test_what_are_no_labels_is_refused_in_a_sentence(y: Any, text: str) -> None:
    assert text in message_of(y)


# fmt: off
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 2**70), st.floats(), st.text(max_size=3),
    st.binary(max_size=2), st.complex_numbers(), st.just(pandas.NA), st.dates(),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([np.int8(3), np.float32(0.5), np.str_("x"), np.bool_(True), pandas.NaT]),
)


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@settings(max_examples=100, deadline=None)
@given(
    items=st.one_of(
        st.lists(SCALARS, max_size=4), *(st.lists(kind, max_size=4) for kind in SCALARS.branches)
    ),
    container=st.sampled_from([list, tuple, pandas.Series, lambda y: np.array(y, object)]),
)
def test_anything_is_taken_or_refused_in_few_words(items: list[Any], container: Any) -> None:
    try:
        y = container(items)
    except (ValueError, TypeError, OverflowError):
        return
    try:
        labels, classes = encode_labels(y, max(len(items), 1))
    except DataError as error:
        text = str(error)
        assert len(text.splitlines()) == 1
        assert len(text) < 500
        return
    assert labels.max() < len(classes)
    for label, item in zip(labels, items, strict=True):
        wanted = item if isinstance(item, str) else pytest.approx(float(item))
        assert classes[label] == wanted
