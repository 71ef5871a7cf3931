"""A static file server, and ONNX Runtime for browsers where the machine has it."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tenfold.serving.web.folder import POLICY


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Python's own, with the page's policy on every file, so that the worker has it too."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hand_out() -> Iterator[Callable[[Path], str]]:
    """Give a function that serves a folder and gives its address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(folder: Path) -> str:
        handler = functools.partial(_Handler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def runtime_package() -> Path:
    place = os.environ.get("TENFOLD_ONNXRUNTIME_WEB")
    if not place:
        pytest.skip(
            "needs onnxruntime-web: set TENFOLD_ONNXRUNTIME_WEB to what `npm pack` wrote, of the "
            "version in tenfold/serving/web/runtime.py"
        )
    return Path(place)
