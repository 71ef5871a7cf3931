"""Who may ask, and what is refused.

Whatever goes wrong inside, the client gets JSON that says no more than it may know; the trace goes
to the server's log.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import re
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from tenfold.core.errors import SettingsError
from tenfold.serving.access_log import Access
from tenfold.serving.metrics import Metrics
from tenfold.serving.operations import Operations
from tenfold.serving.tokens import Caller, Tokens, whole_seconds
from tenfold.serving.tracing import Parts, RequestTrace

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


TOKEN_VARIABLE = "TENFOLD_TOKEN"
_TOKEN = re.compile(r"[!-~]([ -~]*[!-~])?")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_AUTHORITY = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(?::([0-9]{0,5}))?")
_LOG = logging.getLogger("tenfold.serving")
OPEN = frozenset(
    {
        *("/", "/page.css", "/page.js", "/health", "/health/live", "/health/ready"),
        *("/v2/health/live", "/v2/health/ready"),
    }
)
"""What needs no token: the page, which then tells nothing of the model, and the server's state."""
_READY = frozenset({"/health", "/health/ready", "/v2/health/ready"})
_NO_SPAN = frozenset({*OPEN, "/metrics"}) - {"/"}
"""What machines ask again and again."""
_CLOSES = (408, 413)
"""After these the rest of the request may still be on its way: nobody reads it."""
_GONE = 499  # as nginx counts clients that vanished
_ONCE = (b"host", b"origin", b"authorization", b"content-type", b"sec-fetch-site")
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
    """ASGI middleware: lets in who may ask, counts, and answers whatever goes wrong.

    Of `paths` requests are counted by name, of all others together, so that a client cannot make
    the counters grow. A whole request may take `most_seconds`. A `token` is the only one where
    `operations` have none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        paths: Collection[str],
        token: str | None,
        hosts: AllowedHosts,
        most_seconds: float,
        operations: Operations | None = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths
        self._operations = operations or Operations()
        self._tokens = self._operations.tokens or (None if token is None else Tokens.of_one(token))
        self._hosts = hosts
        self._most_seconds = most_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        self._metrics.requests_in_progress.inc()
        status = sent_bytes = 0
        caller = code = None
        trace = RequestTrace.of(scope["headers"])
        parts = None if self._operations.spans is None else Parts.begin()

        async def send_safely(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *trace.headers(), *_HEADERS]
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        outside, told = scope["path"], scope
        try:
            scope = self._inside(scope)
            caller = self._check(scope)
            if caller is not None and caller.rate is not None:
                _count(caller)
            # The server leaves the body out of its answer to HEAD.
            told = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
            if root := self._operations.root_path:
                told = {**told, "root_path": root, "path": root + scope["path"]}
            async with asyncio.timeout(self._most_seconds):
                await self._app(told, receive, send_safely)
        except Exception as error:
            refusal = refusal_of(error, f"Request {trace.request_id}")
            code = refusal.code
            if status == 0 and refusal.status != _GONE:
                await refusal.send(
                    send_safely, closes=refusal.status in _CLOSES, is_text=in_text(scope["path"])
                )
            status = status or refusal.status
        finally:
            self._metrics.requests_in_progress.dec()
            # Of an address with a name in it, the pattern: not as many counters as there are names.
            path: str = getattr(told.get("route"), "path", None) or scope["path"]
            name = path if path in self._paths else "other"
            self._metrics.requests.labels(name, str(status)).inc()
            seconds = time.perf_counter() - began
            if path.endswith(("/predict", "/infer")):
                self._metrics.request_seconds.observe(seconds)
            if self._operations.access_log is not None or parts is not None:
                access = _access(scope, outside, trace, caller, status, seconds, sent_bytes, code)
                self._tell(access, None if name == "other" else name, trace.flags, parts)

    def _tell(self, access: Access, route: str | None, flags: str, parts: Parts | None) -> None:
        """Tell the log and the trace of a request."""
        if self._operations.access_log is not None:
            self._operations.access_log.add(access)
        if self._operations.spans is not None and parts is not None and route not in _NO_SPAN:
            self._operations.spans.add(access, flags, route, parts)

    def _inside(self, scope: Scope) -> Scope:
        """Take away what addresses lie below, whether or not the proxy has done so already."""
        root = self._operations.root_path
        path: str = scope["path"]
        if not root or not (path == root or path.startswith(f"{root}/")):
            return scope
        if path == root:
            # Without the slash the page would look for its files beside itself.
            location = (b"location", b"%b/" % root.encode("ascii"))
            raise Refusal(308, "moved", "The page is behind a slash.", headers=(location,))
        return {**scope, "path": path[len(root) :]}

    def _check(self, scope: Scope) -> Caller | None:
        """Give who asks, if a token says it.

        Refused is what is meant for another server, comes from another site, or lacks the token.
        """
        names = [name for name, _ in scope["headers"]]
        if any(names.count(name) > 1 for name in _ONCE):
            raise Refusal(400, "bad_request", "A header is given twice.")
        given = dict(scope["headers"])
        host = given.get(b"host")
        if host is not None and not self._hosts.allow(host):
            raise Refusal(
                421,
                "wrong_host",
                "This server does not answer by that name. Whoever runs it can allow the name: "
                "tenfold serve --allowed-host NAME",
            )
        if not self._is_of_this_site(scope, given):
            raise Refusal(
                403, "cross_site", "Pages of other sites may not use this server from a browser."
            )
        if self._operations.is_draining and scope["path"] in _READY:
            raise Refusal(503, "stopping", "The server is about to stop.")
        if self._tokens is None or scope["path"] in OPEN:
            return None
        caller = self._tokens.find(given.get(b"authorization", b""), time.monotonic())
        if caller is None:
            raise Refusal(
                401,
                "unauthorized",
                "This needs the server's token: Authorization: Bearer TOKEN.",
            )
        return caller

    def _is_of_this_site(self, scope: Scope, given: Mapping[bytes, bytes]) -> bool:
        """Say whether no page of another site sent this, as far as the browser tells.

        By ``Sec-Fetch-Site`` (https://www.w3.org/TR/fetch-metadata/); browsers leave it out where
        there is no TLS, except for loopback, and then ``Origin`` tells. Programs send neither.
        """
        site = given.get(b"sec-fetch-site")
        if site is not None:
            is_link = (
                scope["method"] in ("GET", "HEAD")
                and given.get(b"sec-fetch-mode") == b"navigate"
                and given.get(b"sec-fetch-dest") == b"document"
            )
            return site in (b"same-origin", b"none") or is_link
        origin = given.get(b"origin")
        if origin is None:
            return True
        scheme, _, authority = origin.decode("latin-1").partition("://")
        default = {"http": 80, "https": 443}.get(scheme)
        there = split_authority(authority)
        here = split_authority(given.get(b"host", b"").decode("latin-1"))
        if default is None or there is None:
            return False
        # A proxy may put its own name in Host; then the name that it has outside was given.
        return there[0] in self._hosts.given or (
            here is not None and (there[0], there[1] or default) == (here[0], here[1] or default)
        )


def _count(caller: Caller) -> None:
    """Refuse who asks too often."""
    if wait := caller.wait_seconds(time.monotonic()):
        seconds = whole_seconds(wait)
        raise Refusal(
            429,
            "too_many_requests",
            f"This token may make {caller.rate}. Try again in {seconds:,} s.",
            headers=((b"retry-after", b"%d" % seconds),),
        )


def _access(  # noqa: PLR0917 -- all of a request
    scope: Scope,
    path: str,
    trace: RequestTrace,
    caller: Caller | None,
    status: int,
    seconds: float,
    sent_bytes: int,
    code: str | None,
) -> Access:
    given = dict(scope["headers"])
    length = given.get(b"content-length", b"")
    agent = given.get(b"user-agent")
    return Access(
        at=time.time() - seconds,
        request_id=trace.request_id,
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_id=trace.parent_id,
        client=scope["client"][0] if scope.get("client") else None,
        token=None if caller is None else caller.name,
        method=scope["method"],
        path=path,
        status=status,
        seconds=seconds,
        received_bytes=int(length) if length.isdigit() and len(length) < 16 else None,
        sent_bytes=sent_bytes,
        error=code,
        user_agent=None if agent is None else agent.decode("latin-1"),
    )


def refusal_of(error: Exception, of: str = "A request") -> Refusal:
    """Give what the client is told of an error; one that is not its own goes to the log."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, TimeoutError):
        return Refusal(503, "too_slow", "The answer took too long. Try again later.")
    if isinstance(error, ClientDisconnect):
        return Refusal(_GONE, "gone", "The client left.")
    _LOG.error("%s failed", of, exc_info=error)
    return Refusal(500, "internal", "Something went wrong in the server; its log says what.")


class Refusal(Exception):
    """A request that is not answered as asked; its message is for the client.

    Parameters
    ----------
    status
        HTTP's status code.
    code
        One word for programs.
    message
        For people: what was wrong and what is allowed. Nothing of the machine, no path.
    headers
        Of the answer, beside those that all have.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self._more_headers = tuple(headers)

    def plain(self) -> dict[str, str]:
        """Give the error as plain data."""
        return {"code": self.code, "message": self.message}

    def headers(self, *, is_text: bool = False) -> list[tuple[bytes, bytes]]:
        """Give the headers of the answer."""
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body(is_text=is_text))),
            (b"cache-control", b"no-store"),
            *self._more_headers,
        ]
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if self.status == 503:
            headers.append((b"retry-after", b"1"))
        return headers

    def body(self, *, is_text: bool = False) -> bytes:
        """Give the body of the answer; `is_text` gives the message alone, see `in_text`."""
        told = {"error": self.message if is_text else self.plain()}
        return json.dumps(told, ensure_ascii=False).encode(errors="backslashreplace")

    async def send(self, send: Send, *, closes: bool, is_text: bool = False) -> None:
        """Answer so; `closes` tells the client that nothing follows on the connection."""
        headers = self.headers(is_text=is_text)
        headers += [(b"connection", b"close")] if closes else []
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body(is_text=is_text)})


def in_text(path: str) -> bool:
    """Say whether an address wants errors as one text, as the Open Inference Protocol does."""
    return path == "/v2" or path.startswith("/v2/")


def read_token(given: str | None) -> str | None:
    """Give the token that clients must show; None if nobody set one.

    Spaces and line ends around it, as files and secret stores add them, do not count. typer gives
    None for a variable that is set but empty, so that one is looked at here. One that is empty, or
    that no header can carry, is a `SettingsError`.
    """
    text = os.environ.get(TOKEN_VARIABLE) if given is None else given
    if text is None:
        return None
    token = text.strip()
    if not token:
        raise SettingsError(
            "The token is empty, so that everyone could use the server. Set --token or "
            f"{TOKEN_VARIABLE} to a secret, or leave both away to serve without one: "
            f"unset {TOKEN_VARIABLE}"
        )
    if not _TOKEN.fullmatch(token):
        raise SettingsError(
            "The token has characters that cannot be sent in a header. Letters, digits and signs "
            "of ASCII are allowed; make one with: python -c 'import secrets; "
            "print(secrets.token_urlsafe())'"
        )
    return token


class AllowedHosts:
    """Says whether a request is meant for this server.

    A page of another site that makes its own name point at this machine (DNS rebinding) is, for the
    browser, the server's own page, and reads what it likes. Only the request's ``Host`` tells.

    ``localhost`` and loopback addresses always are, and so is the address that it is bound to. A
    server bound to all addresses answers to any IP address, which nobody can rebind, and to the
    machine's name. All other names or addresses have to be given, without port; ``*`` stands for
    any. What is no name is a `SettingsError`.
    """

    def __init__(self, bound: str = "127.0.0.1", names: Iterable[str] = ()) -> None:
        self._is_any = False
        self.given: set[str] = set()
        for name in names:
            host = _normal(name)
            if name.strip() == "*":
                self._is_any = True
            elif host is None:
                raise SettingsError(
                    f"--allowed-host {name!r} is no name of a host. Give the name that clients "
                    "write in the address, without port: models.example.org, 10.0.0.5 or [::1]; "
                    "* allows every name."
                )
            else:
                self.given.add(host)
        self._names = self.given | {"localhost"}
        own = _normal(bound)
        address = _address(own or "")
        self._takes_addresses = own != "localhost" if address is None else address.is_unspecified
        if own is not None:
            self._names.add(own)
        if address is not None and address.is_unspecified:
            self._names.add(socket.gethostname().lower().rstrip("."))

    def allow(self, header: bytes) -> bool:
        """Say whether a ``Host`` header names this server."""
        parts = split_authority(header.decode("latin-1"))
        return parts is not None and self._allows(parts[0])

    def _allows(self, host: str) -> bool:
        if self._is_any or host in self._names:
            return True
        address = _address(host)
        return address is not None and (self._takes_addresses or address.is_loopback)


def split_authority(text: str) -> tuple[str, int | None] | None:
    """Give host, in one spelling, and port of an authority; None if it is none."""
    match = _AUTHORITY.fullmatch(text)
    host = None if match is None else _normal(match[1])
    if match is None or host is None:
        return None
    port = int(match[2]) if match[2] else None
    return None if port is not None and port > 65_535 else (host, port)


def _normal(text: str) -> str | None:
    """Give a name in small letters without a last dot, an address in its shortest spelling."""
    name = text.strip().lower()
    if name.startswith("[") and name.endswith("]"):
        address = _address(name[1:-1].partition("%")[0])
        return None if address is None or address.version == 4 else str(address)
    name = name.removesuffix(".")
    address = _address(name.partition("%")[0])
    if address is not None:
        return str(address)
    # The last label of a name is never a number: 127.1 and 0x7f000001 are spellings of addresses.
    is_name = len(name) < 254 and _NAME.fullmatch(name) and not name.rpartition(".")[2][0].isdigit()
    return name if is_name else None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
