"""HTTP connections on which nothing is without an end.

uvicorn's protocol reads heads, trailers and chunk extensions of any length, waits for ever for the
rest of a request that it has answered already, takes the body of a request with ``Upgrade`` for the
next request, and refuses in plain text. This one differs in these points alone.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from tenfold.serving.refusal import Refusal

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


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections there may be, and how long each may make the server wait.

    Parameters
    ----------
    connections
        Beyond that, the one that has been waited for longest gives way.
    head_seconds
        For the head of a request, and for a client to take a part of an answer.
    rest_seconds
        Between an answer and the first byte of the next request.
    """

    connections: int = 1000
    head_seconds: float = 20.0
    rest_seconds: float = 15.0


class _Cycle(RequestResponseCycle):
    """One request and its answer; see `RequestResponseCycle`."""

    lingers = False

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        """Close the connection after an answer that does not wait for the whole request."""
        if message["type"] == "http.response.start":
            if self.more_body:
                self.keep_alive = False
        elif self.more_body and not message.get("more_body", False):
            self.lingers = self.keep_alive = True  # `on_response_complete` closes
        return super().send(message)

    async def run_asgi(self, app: Any) -> None:
        """Answer; an end by the server's stop is no error of the application."""

        async def stoppable(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not self.response_started:
                    await self.send_500_response()

        await super().run_asgi(stoppable)

    async def send_500_response(self) -> None:
        """Answer a request that was ended by the server's stop."""
        refusal = Refusal(503, "stopping", "The server stops.")
        headers = [*refusal.headers(), (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": 503, "headers": headers})
        await self.send({"type": "http.response.body", "body": refusal.body()})


class BoundedProtocol(HttpToolsProtocol):
    """See the module."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()

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
        self._refusal: Refusal | None = None
        self._running: _Cycle | None = None

    # Of the connection

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head; make room if there are too many connections."""
        super().connection_made(transport)
        self._wait(self.limits.head_seconds)
        if len(self.connections) > self.limits.connections:
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
            self._wait(self.limits.head_seconds)

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
            self._say(
                414, "target_too_long", f"The address is longer than {_TARGET_BYTES:,} bytes."
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one after the body says nothing here."""
        if self._phase != "head":
            return
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > _HEAD_BYTES or len(self.headers) > _HEADERS:
            raise self._keep(_too_much_head())
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
        self._stop_waiting()
        self._enter("body")
        self._content_bytes = 0
        self._fill_scope()
        before = self.cycle
        self.cycle = _Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.scope["http_version"] != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start(self.cycle)
        else:
            if len(self.pipeline) == _PIPELINED:
                self.cycle = before
                self._say(503, "busy", "Too many requests in advance.")
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

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
        if self._running is not None and self._running.lingers:
            self._linger()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start(self.pipeline.pop()[0])
        elif self._phase == "head":
            self._wait(self.limits.head_seconds)
        else:
            self._wait(self.limits.rest_seconds)
            self._is_resting = True

    # Own

    def _start(self, cycle: Any) -> None:
        self._running = cycle
        self._start_asgi_task(cycle, self.app)

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._phase_bytes = 0

    def _parse(self, data: bytes) -> None:
        rest: Any = data
        while len(rest):
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as stop:
                # The parser stops behind the head and would take the body for something else. A
                # server may ignore the wish (RFC 9110, 7.8): read again as if it were not there.
                rest = memoryview(rest)[stop.args[0] :]
                head = self._head_without_upgrade()
                self.parser = httptools.HttpRequestParser(self)
                self._feed(head)
            except httptools.HttpParserError as error:
                raise self._reason(error) from None
            else:
                return

    def _feed(self, head: bytes) -> None:
        try:
            self.parser.feed_data(head)
        except httptools.HttpParserError as error:
            raise self._reason(error) from None

    def _reason(self, error: httptools.HttpParserError) -> Refusal:
        return self._refusal or Refusal(
            400, "bad_request", f"This is no request of HTTP/1.1: {str(error)[:100]}."
        )

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _check_head(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._say(505, "http_version", "HTTP/1.1 is spoken here.")
        if self.parser.should_upgrade():
            self._say(405, "refused", "Method Not Allowed.")
        if self._host_count > 1 or (self._host_count == 0 and version == "1.1"):
            self._say(400, "bad_request", "A request needs one Host header.")
        if self._coding is not None and (self._coding != b"chunked" or version == "1.0"):
            self._say(501, "transfer_coding", "Of all transfer codings only chunked is taken.")

    def _fill_scope(self) -> None:
        url = httptools.parse_url(self.url)
        raw_path = url.path or b"/"
        path = raw_path.decode("ascii")
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = self.parser.get_http_version()
        self.scope["raw_path"] = raw_path
        self.scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        self.scope["query_string"] = url.query or b""
        if url.host:  # it counts, and the header does not (RFC 9112, 3.2.2)
            host = b"[%b]" % url.host if b":" in url.host else url.host
            host = b"%b:%d" % (host, url.port) if url.port else host
            self.headers[:] = [one for one in self.headers if one[0] != b"host"]
            self.headers.append((b"host", host))

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

    def _say(self, status: int, code: str, message: str) -> None:
        """Refuse from inside of the parser."""
        raise self._keep(Refusal(status, code, message))

    def _keep(self, refusal: Refusal) -> Refusal:
        self._refusal = refusal
        return refusal

    def _refuse(self, refusal: Refusal) -> None:
        """Read no more; answer what was asked before, or this."""
        self._is_ending = True
        cycle: RequestResponseCycle | None = self.cycle
        is_of_cycle = self._phase == "body"
        if cycle is not None and not cycle.response_complete:
            if is_of_cycle and self.pipeline:
                self.pipeline.popleft()  # its body is damaged
                cycle = self.pipeline[0][0] if self.pipeline else self._running
            elif is_of_cycle:
                cycle.disconnected = True
                cycle.message_event.set()
                if cycle.response_started:
                    self.transport.abort()
                else:
                    self._write(refusal)
                return
            assert cycle is not None
            cycle.keep_alive = False
            self._stop_waiting()
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
        self._timer = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        self._is_resting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        self._is_ending = True
        self.transport.abort()

    def _limit_writing(self) -> None:
        self._stop_writing()
        self._write_timer = self.loop.call_later(self.limits.head_seconds, self.transport.abort)

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
