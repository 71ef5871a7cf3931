"""The process that serves: its socket, its signals, its end."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

from tenfold.core.errors import SettingsError
from tenfold.data.images.decoding import quiet_pillow
from tenfold.data.images.processes import PROCESSES
from tenfold.serving.operations import Operations, TlsFiles
from tenfold.serving.protocol import BoundedProtocol
from tenfold.serving.settings import ServingSettings

_MOST_CONNECTIONS = 1000
_OTHER_FILES = 200
"""Open files beside connections: libraries, the model, pipes of processes."""
_WAITING_CONNECTIONS = 2048


def open_socket(host: str, port: int) -> socket.socket:
    """Give a socket that listens; port 0 takes any that is free.

    Raises
    ------
    SettingsError
        If the address cannot be had.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"There is no address {host!r} on this machine ({error}). Use --host 127.0.0.1 for "
            "this machine alone, --host 0.0.0.0 for everyone who can reach it."
        ) from error
    listening = socket.socket(family, kind)
    try:
        # So that a restart need not wait for the connections of the last run to be forgotten.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_WAITING_CONNECTIONS)
    except OSError as error:
        listening.close()
        reason = {
            errno.EADDRINUSE: f"another program listens there. Choose another: --port {port + 1}",
            errno.EACCES: "ports below 1024 are for the administrator. Choose another: --port 8000",
        }.get(error.errno or 0, f"{error.strerror}. Choose another --host or --port")
        raise SettingsError(f"Cannot listen at {host}, port {port}: {reason}.") from error
    return listening


def address_of(listening: socket.socket, *, is_tls: bool = False) -> str:
    """Give the URL of a listening socket, as a browser on this machine takes it."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def server_config(
    app: FastAPI, settings: ServingSettings, tls: TlsFiles | None = None
) -> uvicorn.Config:
    """Give how uvicorn serves an application: our protocol and limits, nothing of its own."""

    class Protocol(BoundedProtocol):
        most_connections = _possible_connections()
        head_seconds = settings.receive_seconds
        rest_seconds = settings.keep_alive_seconds

    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=settings.stop_seconds,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
    )


def run_server(
    app: FastAPI,
    listening: socket.socket,
    settings: ServingSettings,
    *,
    on_start: Callable[[], object] = lambda: None,
    operations: Operations | None = None,
    tls: TlsFiles | None = None,
) -> None:
    """Serve until SIGINT (Ctrl-C) or SIGTERM; then answer what was asked, and return.

    `on_start` is called when the first client would be answered. Before the end, for as long as the
    settings say, `operations` are draining.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s"
    )
    logging.getLogger("tenfold.serving.watching").setLevel(logging.INFO)
    # It warns of each damaged form, which any client can send as often as it likes.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    try:
        with quiet_pillow():
            config = server_config(app, settings, tls)
            drain = _Drain(operations or Operations(), settings.stop_delay_seconds)
            _Server(config, on_start, drain).run(sockets=[listening])
    finally:
        PROCESSES.close()  # nobody waits any more for what they decode


def _possible_connections() -> int:
    """Give how many connections there may be, after asking the system for as many as needed.

    Beyond the limit of open files no connection could be accepted, and none be ended for it.
    """
    wanted = _MOST_CONNECTIONS + _OTHER_FILES
    try:
        import resource  # not on Windows
    except ImportError:
        return _MOST_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return min(_MOST_CONNECTIONS, max(soft - _OTHER_FILES, 10))


class _Drain:
    """The time between the wish to stop and the end of listening."""

    def __init__(self, operations: Operations, seconds: float) -> None:
        self._operations = operations
        self._seconds = seconds
        self._ends: float | None = None

    def begin(self) -> bool:
        """Begin; give whether there is time, which there is not when it is asked for again."""
        is_first = self._ends is None
        self._operations.is_draining = True
        self._ends = time.monotonic() + self._seconds if is_first else 0.0
        return is_first and self._seconds > 0

    @property
    def is_over(self) -> bool:
        """Whether to listen no more."""
        return self._ends is not None and time.monotonic() >= self._ends


class _Server(uvicorn.Server):
    """uvicorn's server, which ends quietly on a signal instead of raising it again."""

    def __init__(
        self, config: uvicorn.Config, on_start: Callable[[], object], drain: _Drain
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._drain = drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; without a delay, or when asked again, stop."""
        if not self._drain.begin():
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Say whether to stop; asked ten times a second."""
        if self._drain.is_over:
            self.should_exit = True
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop gracefully on the first signal, at once on a second Ctrl-C."""
        caught = (signal.SIGINT, signal.SIGTERM)
        before = {one: signal.signal(one, self.handle_exit) for one in caught}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
