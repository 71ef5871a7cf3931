"""Spans of answered requests for OpenTelemetry, which is imported here and nowhere else.

They are made afterwards by a thread of their own, out of what was measured anyhow: whatever the
SDK, its exporter or the collector do, no answer waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from importlib import metadata
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from tenfold.serving.access_log import Access
from tenfold.serving.tracing import Part, Parts

_GATHERING_SECONDS = 0.2
_MOST_REQUESTS = 5_000
"""That wait to become spans; what comes then is left out."""
_CLOSING_SECONDS = 2.0
_LONGEST = 1024
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"})
_LOG = logging.getLogger("tenfold.serving")

_Answered = tuple[Access, str, str | None, Parts]


class Spans:
    """Gives each answered request to a span processor: a span, with one a part below it.

    Attributes are named by the conventions for HTTP servers
    (https://opentelemetry.io/docs/specs/semconv/http/http-spans/).

    Parameters
    ----------
    processor
        Of OpenTelemetry's SDK. The SDK's environment variables say which are sampled, and what else
        is told of the service.
    """

    def __init__(self, processor: Any) -> None:
        self._ids = ids = _GivenIds()
        given: Any = ids  # the SDK's type is a class to inherit from
        self._provider = TracerProvider(
            resource=_resource(), id_generator=given, shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("tenfold", metadata.version("tenfold"))
        self._answered: deque[_Answered] = deque()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._work, name="spans", daemon=True)
        self._thread.start()

    def add(self, access: Access, flags: str, route: str | None, parts: Parts) -> None:
        """Export a request's spans soon.

        Parameters
        ----------
        flags
            Of the trace, as the client sent them.
        route
            The pattern of its address; None if there is none.
        """
        if len(self._answered) < _MOST_REQUESTS:
            self._answered.append((access, flags, route, parts))

    def close(self) -> None:
        """Export what waits; a collector that does not take it within some seconds goes without."""
        self._ends.set()
        self._thread.join(_CLOSING_SECONDS)

    def _work(self) -> None:
        """Make spans; runs in a thread of its own until `close`."""
        is_last = False
        while not is_last:
            is_last = self._ends.wait(_GATHERING_SECONDS)
            while self._answered:
                try:
                    self._make(*self._answered.popleft())
                except Exception as error:  # of the SDK's; the thread has to go on
                    _LOG.error("A span cannot be made.", exc_info=error)
        self._provider.shutdown()

    def _make(self, access: Access, flags: str, route: str | None, parts: Parts) -> None:
        ends = int((access.at + access.seconds) * 1e9)
        method = access.method if access.method in _METHODS else "_OTHER"
        self._ids.trace_id, self._ids.span_id = int(access.trace_id, 16), int(access.span_id, 16)
        span = self._tracer.start_span(
            f"{'HTTP' if method == '_OTHER' else method} {route or ''}".rstrip(),
            context=None if access.parent_id is None else _remote(access, flags),
            kind=SpanKind.SERVER,
            attributes=_attributes(access, method, route, parts),
            start_time=int(access.at * 1e9),
        )
        below = set_span_in_context(span)
        for part in parts.kept:
            self._make_part(part, below)
        if access.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=ends)

    def _make_part(self, part: Part, below: Any) -> None:
        span = self._tracer.start_span(
            part.name,
            context=below,
            attributes={"tenfold.images": part.images},
            start_time=part.ended_ns - int(part.seconds * 1e9),
        )
        span.end(end_time=part.ended_ns)


class ToldOnce:
    """An exporter that says once in the log when it fails, and when it works again.

    The SDK's own would do so with each batch.
    """

    def __init__(self, exporter: Any, place: str) -> None:
        self._exporter = exporter
        self._place = place
        self._failed = False

    def export(self, spans: Any) -> Any:
        """Export a batch; called by the SDK's thread."""
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failed:
            _LOG.error(
                "Spans cannot be exported to %s; they are lost, and answers go on.", self._place
            )
        if self._failed and not failed:
            _LOG.warning("Spans are exported to %s again.", self._place)
        self._failed = failed
        return result

    def shutdown(self) -> None:
        """Export no more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what waits."""
        return bool(self._exporter.force_flush(timeout_millis))


class _GivenIds:
    """Gives the ids that the request has already, and others to what is below it."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self.trace_id = 0
        self.span_id: int | None = None

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        given, self.span_id = self.span_id, None
        return self._random.generate_span_id() if given is None else given

    def is_trace_id_random(self) -> bool:
        return True


def _resource() -> Resource:
    resource = Resource.create({"service.version": metadata.version("tenfold")})
    if str(resource.attributes.get("service.name", "unknown_service")).startswith("unknown_"):
        resource = resource.merge(Resource({"service.name": "tenfold"}))
    return resource


def _remote(access: Access, flags: str) -> Any:
    context = SpanContext(
        int(access.trace_id, 16),
        int(access.parent_id or "0", 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16)),
    )
    return set_span_in_context(NonRecordingSpan(context))


def _attributes(access: Access, method: str, route: str | None, parts: Parts) -> dict[str, Any]:
    """Say what the access log says; no token, no query, no image and no class."""
    told = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": access.status,
        "url.path": access.path,
        "client.address": access.client,
        "user_agent.original": access.user_agent,
        "error.type": access.error or (str(access.status) if access.status >= 500 else None),
        "tenfold.request_id": access.request_id,
        "tenfold.parts_left_out": parts.left_out or None,
    }
    return {name: _clean(value) for name, value in told.items() if value is not None}


def _clean(value: str | int) -> str | int:
    """Give text that Protocol Buffers takes: one bad text would take its whole batch along."""
    return value if isinstance(value, int) else value[:_LONGEST].encode(errors="replace").decode()
