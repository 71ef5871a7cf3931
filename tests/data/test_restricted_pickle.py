from __future__ import annotations

import contextlib
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError, UnsafePickleError
from tenfold.data.restricted_pickle import PickledArray, read_plain_pickle
from tenfold.data.sources.cifar10_formats import parse_python_batch as parse_batch

_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.binary() | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(value=_plain, protocol=st.sampled_from([3, 4, 5]))
def test_plain_data_come_out_as_they_went_in(value: object, protocol: int) -> None:
    assert read_plain_pickle(pickle.dumps(value, protocol), "f") == value


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_come_out_as_records(protocol: int) -> None:
    array = np.arange(256, dtype=np.uint8).reshape(4, 64)
    read = read_plain_pickle(pickle.dumps({"data": array}, protocol), "f")["data"]
    assert isinstance(read, PickledArray)
    assert read.dtype is not None
    assert (read.shape, read.dtype.code, read.content) == (array.shape, "u1", array.tobytes())


def test_the_bytes_that_python_2_wrote_are_understood() -> None:
    # What Python 2.7 with NumPy 1.x writes under protocol 2, as CIFAR-10's files do.
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\n"
        b"q\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x01K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01"
        b"\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x03\x00\x7f\xfft"
        b"bU\x06labelsq\x08]q\t(K\x06K\teu."
    )
    table = read_plain_pickle(content, "data_batch_1")
    assert table[b"labels"] == [6, 9]
    assert (table[b"data"].shape, table[b"data"].content) == ((1, 3), b"\x00\x7f\xff")


class _Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        (os.system, ("touch {}",), "system"),
        (eval, ("open({!r}, 'w')",), "eval"),
        (exec, ("open({!r}, 'w')",), "exec"),
        (np.save, ("{}", [1]), "save"),
        (np.fromfile, ("{}",), "fromfile"),
        (getattr, ("", "join"), "getattr"),
        (Path.touch, (Path("x"),), ""),
    ],
)
def test_a_malicious_pickle_is_refused_and_runs_nothing(
    tmp_path: Path, protocol: int, function: Any, arguments: tuple[Any, ...], named: str
) -> None:
    mark = tmp_path / "was-run"
    filled = [part.format(str(mark)) if isinstance(part, str) else part for part in arguments]
    content = pickle.dumps({"data": _Calls(function, *filled)}, protocol)
    with pytest.raises(UnsafePickleError, match=rf"data_batch_1 asks for '.*{named}"):
        read_plain_pickle(content, "data_batch_1")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "instruction"),
    [
        (b"(ios\nsystem\n.", "os.system"),
        (b"\x80\x02}\x81.", "NEWOBJ"),
        (b"Pid\n.", "PERSID"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x04\x8c\x05numpy\x8c\x04load\x93.", "numpy.load"),
        (b"\x80\x02cnumpy\ndtype\n}b.", "sets the state"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "calls something other"),
    ],
)
def test_other_ways_to_reach_code_are_refused_too(content: bytes, instruction: str) -> None:
    with pytest.raises(UnsafePickleError, match=instruction):
        read_plain_pickle(content, "f")


def test_a_file_cannot_make_memory_out_of_nothing() -> None:
    # A far memo slot and a long string of which nothing follows: both make Python's own
    # unpickler reserve gigabytes. The last one copies one text again and again.
    read_plain_pickle(b"\x80\x02Nr" + struct.pack("<I", 2**31 - 1) + b".", "f")
    with pytest.raises(DataError, match="not a whole pickle"):
        read_plain_pickle(b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".", "f")
    copies = b"\x80\x02c_codecs\nencode\nX\x02\x00\x00\x00abq\x01X\x06\x00\x00\x00latin1\x86R0"
    with pytest.raises(UnsafePickleError):
        read_plain_pickle(copies * 2 + b".", "f")
    many = b"(" + b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00latin1\x86R" * 17 + b"l."
    with pytest.raises(UnsafePickleError, match="more than 16 calls"):
        read_plain_pickle(many, "f")


def _array_of_shape(shape: bytes) -> bytes:
    """Give the pickle of an array with a shape from these instructions."""
    dtype = b"cnumpy\ndtype\nX\2\0\0\0u1\x85R"
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85R(K\1"
        + shape
        + dtype
        + b"\x89C\0tb."
    )


def _number(value: int) -> bytes:
    """Give the instruction for a number of any length."""
    content = value.to_bytes(value.bit_length() // 8 + 1, "little")
    return b"\x8b" + struct.pack("<I", len(content)) + content


# Each use of a tuple twice doubles what it would be if written out.
DOUBLING = b"K\1\x85" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(60))
HOSTILE = {
    "a doubling tuple in a shape": _array_of_shape(b"(" + DOUBLING + b"t"),
    "a shape of a doubling tuple": _array_of_shape(DOUBLING),
    "a deep shape": _array_of_shape(b"K\1" + b"\x85" * 20_000),
    "a long shape": _array_of_shape(b"(" + b"K\1" * 20_000 + b"t"),
    "a shape of long numbers": _array_of_shape(_number(2**100_000) + b"\x85"),
    "a list as a shape": _array_of_shape(b"]"),
    "a name of a doubling tuple": b"\x80\4" + DOUBLING + b"\x8c\1a\x93.",
    "a call of a doubling tuple": b"\x80\2" + DOUBLING + b"\x85R.",
    "a key of a doubling tuple": b"\x80\2}" + DOUBLING + b"Ns.",
    "keys that all collide": b"\x80\2}("
    + b"".join(_number(n * (2**61 - 1)) + b"N" for n in range(30_000))
    + b"u.",
    "memo slots that all collide": b"N"
    + b"".join(b"p%d\n" % (n * (2**61 - 1)) for n in range(1, 30_000))
    + b".",
    "a long number as a key again and again": b"\x80\2}("
    + _number(2**800_000)
    + b"q\0N"
    + b"h\0N" * 500
    + b"u.",
    "more instructions than a batch": b"\x80\2" + b"]" * 270_000 + b".",
    "marks without end": b"\x80\2" + b"(" * 30_000 + b".",
    "lists in lists": b"\x80\2" + b"]" * 40_000 + b"a" * 39_999 + b".",
    "a text encoded again and again": b"\x80\2X"
    + struct.pack("<I", 2**20)
    + b"a" * 2**20
    + b"q\0"
    + b"c_codecs\nencode\nh\0X\6\0\0\0latin1\x86R" * 16
    + b".",
    "a long type": b"\x80\2cnumpy\ndtype\nX" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"\x85R.",
    "a number in digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "bytes that are not there": b"\x80\4\x8e" + struct.pack("<Q", 2**63 - 1) + b".",
    "text that is not there": b"\x80\4\x8d" + struct.pack("<Q", 2**63) + b".",
    "a number of a negative length": b"\x80\2\x8b\xff\xff\xff\xff.",
    "a frame that is not there": b"\x80\4\x95" + struct.pack("<Q", 2**63 - 1) + b"0.",
    "a text without an end": b"V" + b"a" * 1_000_000,
    "nothing but a stop": b".",
    "a memo slot that was never filled": b"\x80\2j\xff\xff\xff\x7f.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_costs_more_than_its_bytes_is_refused(name: str, ends: Any) -> None:
    content = b"}X\4\0\0\0data" + HOSTILE[name][:-1] + b"s."
    with ends(), pytest.raises(DataError, match="data_batch_1") as caught:
        parse_batch(content, "data_batch_1", 2000)
    assert len(str(caught.value)) < 600


def test_a_text_that_is_there_once_is_not_copied_again_and_again(bounded: Any) -> None:
    with bounded(2**23), pytest.raises(DataError, match="encodes more text than it holds"):
        read_plain_pickle(HOSTILE["a text encoded again and again"], "f")


def test_nested_keys_are_refused() -> None:
    content = b"})" + b"\x85" * 10_000 + b"Ns."
    with pytest.raises(UnsafePickleError, match="dictionary key"):
        read_plain_pickle(content, "f")


@given(content=st.binary(max_size=200))
@example(b"")
@example(b".")
@example(b"}(e.")
@example(b"0.")
@example(b"h\x01.")
def test_random_bytes_give_data_or_a_data_error(content: bytes) -> None:
    with contextlib.suppress(DataError):
        read_plain_pickle(content, "f")


@settings(max_examples=300)
@given(data=st.data())
def test_a_mutated_batch_gives_data_or_a_data_error(data: st.DataObject) -> None:
    value = {"data": np.zeros((2, 8), np.uint8), "labels": [1, 2], "filenames": ["a", "b"]}
    content = bytearray(pickle.dumps(value, data.draw(st.sampled_from([0, 1, 2, 3, 4, 5]))))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "delete", "cut", "repeat"])):
            case "change":
                content[place] = data.draw(st.integers(0, 255))
            case "delete" if len(content) > 1:
                del content[place]
            case "cut" if place:
                del content[place:]
            case "repeat":
                end = data.draw(st.integers(place, len(content)))
                content[place:place] = content[place:end] * data.draw(st.integers(1, 20))
    with contextlib.suppress(DataError):
        parse_batch(bytes(content), "f", 2)
