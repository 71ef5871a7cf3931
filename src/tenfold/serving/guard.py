"""Around every request: the token, the time limit, the headers of safety, and a count.

Whatever goes wrong inside, the client gets JSON that says no more than it may know; the trace goes
to the server's log.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from tenfold.serving.metrics import Metrics
from tenfold.serving.refusal import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = logging.getLogger("tenfold.serving")
PROTECTED = ("/api/", "/metrics")
"""What needs the token; the page itself, which holds no data, and /health do not."""
KNOWN_PATHS = frozenset(
    {
        "/",
        "/page.css",
        "/page.js",
        "/openapi.json",
        "/api/predict",
        "/api/explain",
        "/api/model",
        "/health",
        "/metrics",
    }
)
"""Counted by name; others together, so that a client cannot make the counters grow."""
_CLOSES = (408, 413)
"""After these the rest of the request may still be on its way: nobody reads it."""
_GONE = 499  # as nginx counts clients that vanished
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]


class Guard:
    """ASGI middleware; see the module.

    Parameters
    ----------
    app
        What answers.
    direct
        Who answers a POST to an address without the app, whose layers take longer than a small
        network.
    metrics
        Where requests are counted.
    token
        What ``Authorization: Bearer`` must carry; None for none.
    most_seconds
        For a whole request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        direct: Mapping[str, Callable[[Request], Awaitable[Response]]],
        metrics: Metrics,
        token: str | None,
        most_seconds: float,
    ) -> None:
        self._app = app
        self._direct = direct
        self._metrics = metrics
        self._authorization = None if token is None else f"Bearer {token}".encode()
        self._most_seconds = most_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            self._check_token(scope)
            async with asyncio.timeout(self._most_seconds):
                answer = self._direct.get(scope["path"]) if scope["method"] == "POST" else None
                if answer is None:
                    await self._app(scope, receive, send_safely)
                else:
                    response = await answer(Request(scope, receive))
                    await response(scope, receive, send_safely)
        except Exception as error:
            refusal = _refusal(error)
            if status == 0 and refusal.status != _GONE:
                await _send_refusal(refusal, send_safely)
            status = status or refusal.status
        finally:
            path = scope["path"]
            self._metrics.requests[path if path in KNOWN_PATHS else "other", status] += 1
            if path == "/api/predict":
                self._metrics.request_seconds.observe(time.perf_counter() - began)

    def _check_token(self, scope: Scope) -> None:
        if self._authorization is None or not scope["path"].startswith(PROTECTED):
            return
        given = b"".join(value for name, value in scope["headers"] if name == b"authorization")
        if not hmac.compare_digest(given, self._authorization):
            raise Refusal(
                401, "unauthorized", "This needs the server's token: Authorization: Bearer TOKEN."
            )


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, TimeoutError):
        return Refusal(503, "too_slow", "The answer took too long. Try again later.")
    if type(error).__name__ == "ClientDisconnect":
        return Refusal(_GONE, "gone", "The client left.")
    _LOG.error("A request failed", exc_info=error)
    return Refusal(500, "internal", "Something went wrong in the server; its log says what.")


async def _send_refusal(refusal: Refusal, send: Send) -> None:
    body = refusal.body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.status == 503:
        headers.append((b"retry-after", b"1"))
    if refusal.status in _CLOSES:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
