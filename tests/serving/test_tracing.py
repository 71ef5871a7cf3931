"""Ids of requests, and the traces that clients begin."""

from __future__ import annotations

import re

import pytest

from tenfold.serving.tracing import RequestTrace

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def sent(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"traceparent", value.encode()) for value in values]


@pytest.mark.parametrize("value", [f"00-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-more"])
def test_a_trace_is_taken_over(value: str) -> None:
    trace = RequestTrace.of(sent(value))
    assert (trace.trace_id, trace.parent_id, trace.flags) == (TRACE, PARENT, "01")
    assert re.fullmatch("[0-9a-f]{16}", trace.span_id)
    assert trace.span_id != PARENT
    answered = dict(trace.headers())
    assert answered[b"traceresponse"] == f"00-{TRACE}-{trace.span_id}-01".encode()
    assert answered[b"x-request-id"] == TRACE.encode()


@pytest.mark.parametrize(
    "values",
    [
        (),
        (f"00-{TRACE}-{PARENT}-01",) * 2,
        ("00-" + "0" * 32 + f"-{PARENT}-01",),
        (f"00-{TRACE}-" + "0" * 16 + "-01",),
        (f"ff-{TRACE}-{PARENT}-01",),
        (f"00-{TRACE}-{PARENT}-01-more",),
        (f"00-{TRACE.upper()}-{PARENT}-01",),
        (f"00-{TRACE}-{PARENT}-01\nx",),
        ("\u00e9" * 55,),
    ],
)
def test_what_is_no_trace_is_left(values: tuple[str, ...]) -> None:
    trace = RequestTrace.of(sent(*values))
    assert trace.parent_id is None
    assert trace.trace_id != TRACE
    assert [name for name, _ in trace.headers()] == [b"x-request-id"]


def test_ids_differ_and_a_clients_own_is_taken_if_it_harms_nobody() -> None:
    assert len({RequestTrace.of(()).request_id for _ in range(100)}) == 100
    assert RequestTrace.of([(b"x-request-id", b"order-7/2")]).request_id == "order-7/2"
    for value in (b"", b"a b", b'"', b"\xff", b"x" * 129, b"a\nb"):
        assert RequestTrace.of([(b"x-request-id", value)]).request_id != value.decode("latin-1")
