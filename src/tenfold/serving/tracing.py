"""Which request this is, its place in a trace that others began, and what it waited for."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple

REQUEST_ID = b"x-request-id"
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(slots=True)  # frozen, it takes four times as long to make
class RequestTrace:
    """The ids of one request (W3C Trace Context, https://www.w3.org/TR/trace-context/)."""

    request_id: str
    trace_id: str
    span_id: str
    """Of the server's part of the trace."""
    parent_id: str | None
    """Of the client's part; None where it sent no ``traceparent``."""
    flags: str

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> RequestTrace:
        """Take over what the client sent; what is damaged or given twice is as if not sent."""
        ids = [value for name, value in headers if name == REQUEST_ID]
        parents = [value for name, value in headers if name == b"traceparent"]
        parent = _parent(parents[0]) if len(parents) == 1 else None
        fresh = os.urandom(24).hex()
        span_id = fresh[:16]
        trace_id, parent_id, flags = parent or (fresh[16:], None, "00")
        if len(ids) == 1 and _GIVEN_ID.fullmatch(ids[0]):
            return cls(ids[0].decode("ascii"), trace_id, span_id, parent_id, flags)
        return cls(trace_id, trace_id, span_id, parent_id, flags)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Give what the answer says of it."""
        headers = [(REQUEST_ID, self.request_id.encode("ascii"))]
        if self.parent_id is not None:
            response = f"00-{self.trace_id}-{self.span_id}-{self.flags}"
            headers.append((b"traceresponse", response.encode("ascii")))
        return headers


def _parent(value: bytes) -> tuple[str, str, str] | None:
    match = _TRACEPARENT.fullmatch(value.strip())
    if match is None:
        return None
    version, trace_id, parent_id, flags, more = match.groups()
    # Later versions may have more behind it; ff is none, and neither are ids of zeros.
    is_valid = version != b"ff" and not (version == b"00" and more is not None)
    if not is_valid or not trace_id.strip(b"0") or not parent_id.strip(b"0"):
        return None
    return trace_id.decode("ascii"), parent_id.decode("ascii"), flags.decode("ascii")


_MOST_PARTS = 300


class Part(NamedTuple):
    """A part of the time that a request took, of one of its images."""

    name: str
    ended_ns: int
    """Since the epoch."""
    seconds: float
    images: int
    """Those that it was computed together with are counted, those of other requests too."""


class Parts:
    """What one request waited for, told by threads while it is computed.

    Of a request with many images only the first parts are kept.
    """

    def __init__(self) -> None:
        self.kept: list[Part] = []
        self.left_out = 0

    @classmethod
    def begin(cls) -> Parts:
        """Give those of the request that is answered in the present task."""
        parts = cls()
        PARTS.set(parts)
        return parts

    def add(self, name: str, seconds: float, images: int = 1) -> None:
        """Take a part that ends now."""
        if len(self.kept) < _MOST_PARTS:
            self.kept.append(Part(name, time.time_ns(), seconds, images))
        else:
            self.left_out += 1


PARTS: ContextVar[Parts | None] = ContextVar("parts", default=None)
"""Of the request that is being answered; None where nobody wants to know."""
