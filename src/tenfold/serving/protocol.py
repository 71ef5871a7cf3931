"""HTTP connections on which nothing is without an end.

uvicorn's protocol reads heads, trailers and chunk extensions of any length, waits for ever for the
rest of a request that it has answered already, takes the body of a request with ``Upgrade`` for the
next request, and refuses in plain text. This one differs in these points alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tenfold.serving.guard import Refusal

_HEAD_BYTES = 65_536
_HEADERS = 100
_TARGET_BYTES = 8192
_OVERHEAD_BYTES, _OVERHEAD_SHARE = 65_536, 8
"""Chunk sizes, extensions and trailers of a body: so many bytes, and an eighth of its content."""
_PIPELINED = 64
_LINGER_SECONDS = 2.0
"""For a client that still sends to see why it is refused: closed at once, its system might throw
the answer away (RFC 9112, 9.6)."""
_BUSY = Refusal(503, "busy", "Too many connections at the moment. Try again in a second.")


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with an end to everything that a client may send, or leave out."""

    most_connections: ClassVar[int] = 1000
    """Beyond that, the one that has been waited for longest gives way."""
    head_seconds: ClassVar[float] = 20.0
    """For the head of a request, and for a client to take a part of an answer."""
    rest_seconds: ClassVar[float] = 15.0
    """Between an answer and the first byte of the next request."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.parser = httptools.HttpRequestParser(self)  # without uvicorn's leniencies
        self.waiting_since: float | None = None
        """Since when the client has to send something; None while it is answered."""
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._is_resting = False
        self._is_ending = False
        """Whether what still arrives is thrown away."""
        self._phase = "rest"  # or head, body
        self._message = 0
        self._head_bytes = self._phase_bytes = self._content_bytes = 0
        self._coding: bytes | None = None
        self._host_count = 0
        self._has_upgrade = False
        self._running: Any = None
        """The request that is answered, as uvicorn's cycle; `cycle` is the one that arrives."""
        self._lingers = False

    # Of the connection

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head; make room if there are too many connections."""
        super().connection_made(transport)
        self._wait(self.head_seconds)
        if len(self.connections) > self.most_connections:
            others: Iterable[Any] = self.connections - {self}
            waiting = [one for one in others if one.waiting_since is not None]
            if waiting:
                min(waiting, key=lambda one: one.waiting_since).give_way()
            else:
                self._refuse(_BUSY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        self._stop_writing()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """End at once, for others."""
        self._is_ending = True
        self.connections.discard(self)
        self.transport.abort()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._limit_writing()

    def resume_writing(self) -> None:
        """Go on."""
        self._stop_writing()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, within the limits."""
        if self._is_ending:
            return
        before = self._message, self._phase
        try:
            self._parse(data)
            if before == (self._message, self._phase):
                self._count(len(data))
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if self._is_resting and self._phase != "body":  # the next request has begun
            self._wait(self.head_seconds)

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._enter("head")
        self._message += 1
        self._head_bytes = self._host_count = 0
        self._coding, self._has_upgrade = None, False

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        super().on_url(url)
        if len(self.url) > _TARGET_BYTES:
            raise Refusal(
                414, "target_too_long", f"The address is longer than {_TARGET_BYTES:,} bytes."
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one after the body says nothing here."""
        if self._phase != "head":
            return
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > _HEAD_BYTES or len(self.headers) > _HEADERS:
            raise _too_much_head()
        name = self.headers[-1][0]
        if name == b"transfer-encoding":
            self._coding = value.strip().lower()
        elif name == b"host":
            self._host_count += 1

    def on_headers_complete(self) -> None:
        """Begin to answer, or queue up behind the requests that came before."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._has_upgrade = True  # `_parse` goes on without it
            return
        self._check_head()
        self._take_host_of_target()
        if len(self.pipeline) == _PIPELINED and not self.cycle.response_complete:
            raise Refusal(503, "busy", "Too many requests in advance.")
        self._stop_waiting()
        self._enter("body")
        self._content_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._content_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Have the whole request."""
        if self._has_upgrade:
            return
        self._enter("rest")
        self.waiting_since = None
        super().on_message_complete()

    # What a cycle calls

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for it, or close."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._limit_writing()
            return
        if self._lingers:
            self._linger()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._phase == "head":
            self._wait(self.head_seconds)
        else:
            self._wait(self.rest_seconds)
            self._is_resting = True

    # Own

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, partial(self._answer, cycle, app))

    async def _answer(self, cycle: Any, app: Any, scope: Any, receive: Any, send: Any) -> None:
        """Answer; close after an answer that does not wait for the whole request, or is stopped."""

        async def send_and_close(message: Any) -> None:
            if message["type"] == "http.response.start":
                if cycle.more_body:
                    cycle.keep_alive = False
            elif cycle.more_body and not message.get("more_body", False):
                self._lingers = cycle.keep_alive = True  # `on_response_complete` closes
            await send(message)

        try:
            await app(scope, receive, send_and_close)
        except asyncio.CancelledError:
            if not cycle.response_started:
                stopping = Refusal(503, "stopping", "The server stops.")
                await stopping.send(send_and_close, closes=True)

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._phase_bytes = 0

    def _parse(self, data: bytes) -> None:
        rest: Any = data
        try:
            while len(rest):
                try:
                    self.parser.feed_data(rest)
                    return
                except httptools.HttpParserUpgrade as stop:
                    rest = memoryview(rest)[stop.args[0] :]
                # The parser stopped behind the head and would take the body for something else. A
                # server may ignore the wish (RFC 9110, 7.8): read again as if it were not there.
                head = self._head_without_upgrade()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.feed_data(head)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Refusal):  # raised by what the parser called
                raise error.__context__ from None
            raise Refusal(
                400, "bad_request", f"This is no request of HTTP/1.1: {str(error)[:100]}."
            ) from None

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _check_head(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise Refusal(505, "http_version", "HTTP/1.1 is spoken here.")
        if self.parser.should_upgrade():
            raise Refusal(405, "refused", "Method Not Allowed.")
        if self._host_count > 1 or (self._host_count == 0 and version == "1.1"):
            raise Refusal(400, "bad_request", "A request needs one Host header.")
        if self._coding is not None and (self._coding != b"chunked" or version == "1.0"):
            raise Refusal(501, "transfer_coding", "Of all transfer codings only chunked is taken.")

    def _take_host_of_target(self) -> None:
        """Let a host in the target count, and the header not (RFC 9112, 3.2.2)."""
        url = httptools.parse_url(self.url)
        if url.host:
            host = b"[%b]" % url.host if b":" in url.host else url.host
            host = b"%b:%d" % (host, url.port) if url.port else host
            self.headers[:] = [one for one in self.headers if one[0] != b"host"]
            self.headers.append((b"host", host))
            self.url = (url.path or b"/") + (b"?" + url.query if url.query else b"")

    def _count(self, size: int) -> None:
        """Count bytes of which the parser made nothing yet, or a part of a body."""
        self._phase_bytes += size
        if self._phase != "body":
            if self._phase_bytes > _HEAD_BYTES:
                raise _too_much_head()
        elif self._phase_bytes - self._content_bytes > (
            _OVERHEAD_BYTES + self._content_bytes // _OVERHEAD_SHARE
        ):
            raise Refusal(
                400, "bad_request", "The body's chunks have more around them than in them."
            )

    def _refuse(self, refusal: Refusal) -> None:
        """Read no more; answer what was asked before, or this."""
        self._is_ending = True
        last: Any = self.cycle
        if last is None or last.response_complete:
            self._write(refusal)
        elif self._phase != "body" or self.pipeline:
            if self._phase == "body":
                self.pipeline.popleft()  # its body is damaged
                last = self.pipeline[0][0] if self.pipeline else self._running
            last.keep_alive = False
            self._stop_waiting()
        else:
            last.disconnected = True
            last.message_event.set()
            if last.response_started:
                self.transport.abort()
            else:
                self._write(refusal)

    def _write(self, refusal: Refusal) -> None:
        headers = [
            *self.server_state.default_headers,
            *refusal.headers(),
            (b"x-content-type-options", b"nosniff"),
            (b"connection", b"close"),
        ]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[refusal.status] + lines + b"\r\n" + refusal.body())
        self._linger()

    def _linger(self) -> None:
        self._is_ending = True
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._wait(_LINGER_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self.waiting_since = self.loop.time()
        self._timer = self.loop.call_later(seconds, self.give_way)

    def _stop_waiting(self) -> None:
        self._is_resting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _limit_writing(self) -> None:
        self._stop_writing()
        self._write_timer = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _stop_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def _too_much_head() -> Refusal:
    return Refusal(
        431,
        "head_too_large",
        f"The headers are too large: up to {_HEADERS} of {_HEAD_BYTES:,} bytes together are taken.",
    )
