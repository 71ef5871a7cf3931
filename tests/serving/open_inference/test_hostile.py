"""Requests that were made to harm are refused, in words, within bounds of memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")

INFER = "/v2/models/model/infer"
LENGTH = "inference-header-content-length"
IMAGE = 16 * 16 * 3


def asked(datatype: Any = "UINT8", shape: Any = (1, 16, 16, 3), **more: Any) -> bytes:
    return json.dumps(
        {"inputs": [{"name": "images", "datatype": datatype, "shape": shape, **more}]}
    ).encode()


def behind(size: Any, **more: Any) -> bytes:
    return asked(parameters={"binary_data_size": size}, **more)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff\xfe", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"inputs": []}', 400),
        (b'{"inputs": [1, 2]}', 400),
        (b'{"inputs": [NaN]}', 400),
        (b'{"id": 7, "inputs": []}', 400),
        (b"[" * 100_000, 400),
        (b"9" * 100_000, 400),
        (b"[" + b"{}," * 20_000 + b"{}]", 413),
        (b"[" + b"0," * 2_000_000 + b"0]", 413),
        (asked(data=[0] * (IMAGE - 1)), 400),
        (asked(data=[-1] * IMAGE), 400),
        (asked(data=[256] * IMAGE), 400),
        (asked(data=[10**30] * IMAGE), 400),
        (asked(data=[0.5] * IMAGE), 400),
        (asked(data=["0"] * IMAGE), 400),
        (asked(data=[True] * IMAGE), 400),
        (asked(data=[[0, 0], [0]]), 400),
        (asked(data={"0": 0}), 400),
        (asked(data=7), 400),
        (asked(), 400),
        (asked("FP32", data=[0.0] * IMAGE), 400),
        (asked(7, data=[0] * IMAGE), 400),
        (asked(shape=[1, 16, 16], data=[0] * IMAGE), 400),
        (asked(shape=[16, 16, 3], data=[0] * IMAGE), 400),
        (asked(shape=[-1, 16, 16, 3], data=[0] * IMAGE), 400),
        (asked(shape=[0, 16, 16, 3], data=[]), 400),
        (asked(shape=[], data=[]), 400),
        (asked(shape=["1", 16, 16, 3], data=[0] * IMAGE), 400),
        (asked(shape=[10**12, 16, 16, 3], data=[0] * IMAGE), 413),
        (asked(shape=[10**400, 16, 16, 3], data=[0] * IMAGE), 413),
        (asked("BYTES", [10**12], data=[]), 413),
        (asked("BYTES", [2], data=["AAAA"]), 400),
        (asked("BYTES", [1], data=["é"]), 400),
        (asked("BYTES", [1], data=["A"]), 400),
        (asked("BYTES", [1], data=[5]), 400),
        (asked("BYTES", [1], data=[""]), 422),
        (asked("BYTES", [1], data="AAAA"), 400),
        (asked("BYTES", [1], parameters={"binary_data_size": 0}), 400),
    ],
)
def test_a_bad_text(body: bytes, status: int, small: Any) -> None:
    answer = small("POST", INFER, body)
    assert answer.status == status, answer.body
    assert isinstance(answer.json["error"], str)
    assert len(answer.body) < 500


@pytest.mark.parametrize(
    ("text", "rest", "length"),
    [
        (behind(IMAGE), IMAGE - 1, None),
        (behind(IMAGE), IMAGE + 1, None),
        (behind(10**30), IMAGE, None),
        (behind(-1), IMAGE, None),
        (behind("7"), IMAGE, None),
        (behind(True), 1, None),
        (behind(7), 7, None),
        (behind(IMAGE, data=[0] * IMAGE), IMAGE, None),
        (asked(data=[0] * IMAGE), 5, None),
        (behind(IMAGE), IMAGE, "9" * 5000),
        (behind(IMAGE), IMAGE, "100000000"),
        (behind(IMAGE), IMAGE, "-1"),
        (behind(IMAGE), IMAGE, "1_0"),
        (behind(IMAGE), IMAGE, ""),
        (behind(IMAGE), IMAGE, "0"),
        (behind(IMAGE), IMAGE, "10"),
        (behind(12, datatype="BYTES", shape=[2]), 12, None),
    ],
)
def test_lengths_that_lie(text: bytes, rest: int, length: str | None, small: Any) -> None:
    headers = {LENGTH: str(len(text)) if length is None else length}
    answer = small("POST", INFER, text + b"\xff" * rest, headers)
    assert answer.status == 400, answer.body
    assert isinstance(answer.json["error"], str)


@pytest.mark.parametrize("changes", [{"outputs": [{"name": "no"}]}, {"outputs": "all"}])
def test_outputs_that_are_not_there(changes: Any, small: Any) -> None:
    values = json.loads(asked(data=[0] * IMAGE)) | changes
    assert small("POST", INFER, json.dumps(values).encode()).status == 400


@pytest.mark.parametrize(
    "parameters",
    [{"binary_data": 1}, {"classification": -1}, {"classification": True}, {"classification": "x"}],
)
def test_parameters_of_a_wrong_kind(parameters: Any, small: Any) -> None:
    output = {"name": "probabilities", "parameters": parameters}
    values = json.loads(asked(data=[0] * IMAGE)) | {"outputs": [output]}
    assert small("POST", INFER, json.dumps(values).encode()).status == 400


def test_more_classes_than_there_are(small: Any) -> None:
    output = {"name": "probabilities", "parameters": {"classification": 10**30}}
    values = json.loads(asked(data=[0] * IMAGE)) | {"outputs": [output]}
    answer = small("POST", INFER, json.dumps(values).encode())
    assert answer.json["outputs"][0]["shape"] == [1, 3]


def test_compressed_bodies(small: Any) -> None:
    answer = small("POST", INFER, b"x", {"content-encoding": "gzip"})
    assert answer.status == 415


def test_too_large_a_body(client: Any) -> None:
    answer = client(body_mib=0.01)("POST", INFER, bytes(20_000))
    assert (answer.status, type(answer.json["error"])) == (413, str)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(st.just("images"), VALUES),
        "datatype": st.one_of(st.sampled_from(["UINT8", "BYTES", "FP32"]), VALUES),
        "shape": st.one_of(st.just([1, 16, 16, 3]), st.lists(st.integers(), max_size=5), VALUES),
        "data": VALUES,
        "parameters": st.one_of(
            st.fixed_dictionaries({"binary_data_size": st.one_of(st.integers(), VALUES)}), VALUES
        ),
    },
)


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40
)
@given(
    asked=st.fixed_dictionaries(
        {"inputs": st.one_of(st.lists(TENSORS, max_size=2), VALUES)},
        optional={"id": VALUES, "parameters": VALUES, "outputs": VALUES},
    ),
    rest=st.binary(max_size=40),
    length=st.one_of(st.none(), st.integers(-3, 300)),
)
def test_any_request(small: Any, asked: Any, rest: bytes, length: int | None) -> None:
    text = json.dumps(asked).encode(errors="replace")
    headers = {LENGTH: str(len(text) if length is None else length)}
    answer = small("POST", INFER, text + rest, headers)
    assert answer.status in {400, 413, 422}, answer.body
    assert isinstance(answer.json["error"], str)
