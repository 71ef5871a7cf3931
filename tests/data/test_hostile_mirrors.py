"""Mirrors that do harm: each is left, and the next one gives the file."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import ChecksumError, DownloadError
from tenfold.data.download import RemoteArchive, download
from tenfold.data.http import DownloadPatience, MirrorError, _redirected

CONTENT = bytes(range(256)) * 400
QUICK = DownloadPatience(attempts=1, connect_seconds=0.5, stall_seconds=0.2)
BOMB = gzip.compress(bytes(2**26))
OK = b"HTTP/1.1 200 OK\r\n"
SENT_AT_MOST = 2**26
"""A mirror that goes on for ever stops here, so that a test that fails ends."""


class _Mirror(BaseHTTPRequestHandler):
    """Behaves as the path says."""

    sent: dict[str, int]
    is_over: threading.Event

    def do_GET(self) -> None:
        manner = self.path.strip("/")
        self.sent.setdefault(manner, 0)
        self.close_connection = True
        getattr(self, manner.replace("-", "_"))()

    def _send(self, content: bytes) -> None:
        self.wfile.write(content)
        self.sent[self.path.strip("/")] += len(content)

    def _for_ever(self, content: bytes, *, pause: float = 0.0) -> None:
        ends = time.monotonic() + 20
        while not self.is_over.wait(pause) and time.monotonic() < ends:
            self._send(content)
            if self.sent[self.path.strip("/")] > SENT_AT_MOST:
                return

    def good(self) -> None:
        self._send(OK + b"Content-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT)

    def goes_on(self) -> None:
        self._send(OK + b"\r\n" + CONTENT)
        self._for_ever(bytes(2**16))

    def goes_on_in_chunks(self) -> None:
        self._send(
            OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(CONTENT) + CONTENT + b"\r\n"
        )
        self._for_ever(b"10000\r\n" + bytes(2**16) + b"\r\n")

    def one_byte_more(self) -> None:
        self._send(OK + b"\r\n" + CONTENT + b"x")

    def says_more(self) -> None:
        self._send(OK + b"Content-Length: %d\r\n\r\n" % (2**62))
        self._for_ever(bytes(2**16))

    def says_more_than_it_sends(self) -> None:
        self._send(OK + b"Content-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT[:-1])

    def says_nonsense(self) -> None:
        self._send(OK + b"Content-Length: -5\r\n\r\n")
        self._for_ever(bytes(2**16))

    def a_page(self) -> None:
        self._send(OK + b"Content-Type: text/html\r\n\r\n<h1>Log in</h1>")

    def a_part(self) -> None:
        self._send(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\n\r\n" + CONTENT)

    def no_content(self) -> None:
        self._send(b"HTTP/1.1 204 No Content\r\n\r\n")

    def a_gzip_bomb(self) -> None:
        self._send(OK + b"Content-Encoding: gzip\r\n\r\n" + BOMB)

    def trickles(self) -> None:
        self._send(OK + b"\r\n")
        self._for_ever(b"x", pause=0.05)

    def drips(self) -> None:
        self._send(OK + b"\r\n")
        self._for_ever(bytes(2**14), pause=0.3)

    def trickles_headers(self) -> None:
        self._send(OK)
        self._for_ever(b"x", pause=0.05)

    def headers_without_end(self) -> None:
        self._send(OK)
        self._for_ever(b"X-Header: value\r\n")

    def a_header_without_end(self) -> None:
        self._send(OK + b"X-Header: ")
        self._for_ever(b"x" * 2**16)

    def continues(self) -> None:
        self._for_ever(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    def a_chunk_size_without_end(self) -> None:
        self._send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        self._for_ever(b"0" * 2**16)

    def trailers_without_end(self) -> None:
        self._send(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
        self._for_ever(b"X-Trailer: value\r\n" * 1000)

    def no_http(self) -> None:
        self._for_ever(b"\x00\xff" * 2**15)

    def _redirect(self, target: str) -> None:
        self._send(b"HTTP/1.1 302 Found\r\nLocation: " + target.encode() + b"\r\n")

    def redirects_to_a_file(self) -> None:
        self._redirect("file:///etc/passwd")
        self._send(b"\r\n")

    def redirects_to_itself(self) -> None:
        self._redirect("/redirects-to-itself")
        self._send(b"\r\n")

    def redirects_nowhere(self) -> None:
        self._redirect("http://[")
        self._send(b"\r\n")

    def redirects_and_goes_on(self) -> None:
        self._redirect("/good")
        self._send(b"\r\n")
        self._for_ever(bytes(2**16))

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server(
    serve: Callable[[type[BaseHTTPRequestHandler]], str],
) -> Iterator[tuple[str, dict[str, int]]]:
    sent: dict[str, int] = {}
    is_over = threading.Event()
    yield serve(type("Handler", (_Mirror,), {"sent": sent, "is_over": is_over})), sent
    is_over.set()


def _archive(base: str, *manners: str) -> RemoteArchive:
    return RemoteArchive(
        name="a.tar.gz",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
        urls=tuple(f"{base}/{manner}" for manner in manners),
    )


HOSTILE = {
    "goes-on": "it goes on after the 102,400 bytes of the published file",
    "goes-on-in-chunks": "it goes on after the 102,400 bytes",
    "one-byte-more": "it goes on after the 102,400 bytes",
    "says-more": "it has 4,611,686,018,427,387,904 bytes; the published file has 102,400",
    "says-more-than-it-sends": "the transfer broke off",
    "says-nonsense": "it goes on after",
    "a-page": "expected SHA-256",
    "a-part": "HTTP status 206",
    "no-content": "HTTP status 204",
    "a-gzip-bomb": "expected SHA-256",
    "trickles": "the transfer stalled",
    "trickles-headers": "the transfer stalled",
    "headers-without-end": "no connection",
    "a-header-without-end": "no connection",
    "continues": "the transfer stalled",
    "a-chunk-size-without-end": "the transfer broke off",
    "trailers-without-end": "the transfer stalled",
    "no-http": "no connection",
    "redirects-to-a-file": "it redirects from http to file",
    "redirects-to-itself": "it redirects more than 5 times",
    "redirects-nowhere": "it answers nonsense (ValueError)",
}


@pytest.mark.parametrize("manner", HOSTILE)
def test_it_is_left_for_the_next_mirror(
    server: tuple[str, dict[str, int]], tmp_path: Path, progress: Any, bounded: Any, manner: str
) -> None:
    with bounded(2**23):
        path = download(_archive(server[0], manner, "good"), tmp_path, progress, patience=QUICK)
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]
    assert any(HOSTILE[manner] in line for line in progress.lines[1:]), progress.lines
    assert server[1][manner] < SENT_AT_MOST


def test_a_redirection_is_followed_without_reading_its_body(
    server: tuple[str, dict[str, int]], tmp_path: Path, progress: Any
) -> None:
    archive = _archive(server[0], "redirects-and-goes-on")
    assert download(archive, tmp_path, progress, patience=QUICK).read_bytes() == CONTENT
    assert server[1]["redirects-and-goes-on"] < SENT_AT_MOST


def test_the_last_mirror_may_be_slow_but_not_for_ever(
    server: tuple[str, dict[str, int]], tmp_path: Path, progress: Any
) -> None:
    patience = DownloadPatience(
        attempts=1, stall_seconds=5.0, judged_after_seconds=0.2, slowest_ever_bytes_per_second=1e6
    )
    with pytest.raises(DownloadError, match="too slow"):
        download(_archive(server[0], "drips"), tmp_path, progress, patience=patience)


def test_more_than_was_published_everywhere_is_another_file(
    server: tuple[str, dict[str, int]], tmp_path: Path, progress: Any
) -> None:
    with pytest.raises(ChecksumError, match="goes on after"):
        download(_archive(server[0], "goes-on", "says-more"), tmp_path, progress, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://a.org/x", "http://a.org/x"),
        ("https://a.org/x", "ftp://a.org/x"),
        ("http://a.org/x", "file:///x"),
        ("http://a.org/x", "data:,x"),
    ],
)
def test_redirections_lead_neither_down_nor_away_from_the_web(url: str, location: str) -> None:
    with pytest.raises(MirrorError, match="it redirects from"):
        _redirected(url, location)


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://a.org/x", "y", "https://a.org/y"),
        ("https://a.org/x", "//b.org/y", "https://b.org/y"),
        ("http://a.org/x", "https://b.org/y", "https://b.org/y"),
        ("http://a.org/x", "/y", "http://a.org/y"),
    ],
)
def test_other_redirections_are_followed(url: str, location: str, target: str) -> None:
    assert _redirected(url, location) == target
