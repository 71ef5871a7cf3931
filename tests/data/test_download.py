from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import ChecksumError, DownloadError, StorageError
from tenfold.data.download import RemoteArchive, download, verify_archive
from tenfold.data.http import DownloadPatience

CONTENT = bytes(range(256)) * 1200
QUICK = DownloadPatience(attempts=2, connect_seconds=2.0, stall_seconds=0.3)


class _Mirror(BaseHTTPRequestHandler):
    """Behaves as the path says; ``once-…`` fails the first time only."""

    seen: list[str]

    def do_GET(self) -> None:
        first_time = self.path not in self.seen
        self.seen.append(self.path)
        manner = self.path.strip("/")
        if manner.startswith("once-"):
            manner = manner.removeprefix("once-") if first_time else "good"
        if manner in ("missing", "busy"):
            self.send_error(404 if manner == "missing" else 503)
            return
        content = b"another file" if manner == "other" else CONTENT
        self.send_response(200)
        if manner != "cut-unnoticed":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if manner in ("cut", "cut-unnoticed"):
            self.wfile.write(content[:1000])
        elif manner == "stall":
            self.wfile.write(content[:1000])
            self.wfile.flush()
            time.sleep(0.8)
        elif manner == "slow":
            for start in range(0, len(content), 2**16):
                self.wfile.write(content[start : start + 2**16])
                self.wfile.flush()
                time.sleep(0.1)
        else:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server(serve: Callable[[type[BaseHTTPRequestHandler]], str]) -> tuple[str, list[str]]:
    seen: list[str] = []
    return serve(type("Handler", (_Mirror,), {"seen": seen})), seen


def _archive(base: str, *manners: str) -> RemoteArchive:
    return RemoteArchive(
        name="a.tar.gz",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
        urls=tuple(f"{base}/{manner}" for manner in manners),
        advice="Or give a local copy.",
    )


def test_a_whole_file_arrives_with_progress(
    server: tuple[str, list[str]], tmp_path: Path, progress: Any
) -> None:
    path = download(_archive(server[0], "good"), tmp_path / "new", progress)
    assert path == tmp_path / "new" / "a.tar.gz"
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert progress.tasks == [("Downloading a.tar.gz", len(CONTENT), "B")]
    assert progress.done == [len(CONTENT)]


@pytest.mark.parametrize("bad", ["missing", "busy", "cut", "cut-unnoticed", "other", "stall"])
def test_the_next_mirror_is_tried_when_one_fails(
    server: tuple[str, list[str]], tmp_path: Path, progress: Any, bad: str
) -> None:
    path = download(_archive(server[0], bad, "good"), tmp_path, progress, patience=QUICK)
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("manner", ["once-cut", "once-busy", "once-stall"])
def test_a_broken_connection_is_tried_again(
    server: tuple[str, list[str]], tmp_path: Path, progress: Any, manner: str
) -> None:
    path = download(_archive(server[0], manner), tmp_path, progress, patience=QUICK)
    assert path.read_bytes() == CONTENT
    assert server[1] == [f"/{manner}"] * 2


def test_a_dead_host_is_passed_over(
    server: tuple[str, list[str]], tmp_path: Path, progress: Any
) -> None:
    archive = RemoteArchive(
        **{
            **_archive(server[0]).__dict__,
            "urls": ("http://127.0.0.1:9/a.tar.gz", f"{server[0]}/good"),
        }
    )
    assert download(archive, tmp_path, progress, patience=QUICK).read_bytes() == CONTENT
    assert any("127.0.0.1:9: no connection (2 attempts)" in line for line in progress.lines)


def test_when_all_fail_each_is_listed_with_its_reason(
    server: tuple[str, list[str]], tmp_path: Path, progress: Any
) -> None:
    archive = _archive(server[0], "missing", "busy", "cut", "stall", "other")
    with pytest.raises(DownloadError) as caught:
        download(archive, tmp_path, progress, patience=QUICK)
    message = str(caught.value)
    for reason in (
        "/missing: HTTP status 404",
        "/busy: HTTP status 503",
        "/cut: the transfer broke off (2 attempts)",
        "/stall: the transfer stalled (2 attempts)",
        "/other: expected SHA-256",
        "Or give a local copy.",
    ):
        assert reason in message
    assert list(tmp_path.iterdir()) == []


def test_the_wrong_file_everywhere_is_a_checksum_error(
    server: tuple[str, list[str]], tmp_path: Path, progress: Any
) -> None:
    received = hashlib.sha256(b"another file").hexdigest()
    with pytest.raises(ChecksumError, match=rf"received {received}; likely cause: it has 12 of"):
        download(_archive(server[0], "other", "other"), tmp_path, progress, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_mirror_is_left_unless_it_is_the_last(
    server: tuple[str, list[str]], tmp_path: Path, progress: Any
) -> None:
    patience = DownloadPatience(slowest_bytes_per_second=1e9, judged_after_seconds=0.1)
    path = download(_archive(server[0], "slow", "slow/"), tmp_path, progress, patience=patience)
    assert path.read_bytes() == CONTENT
    assert server[1] == ["/slow", "/slow/"]
    assert any("too slow" in line for line in progress.lines)


def test_an_interrupted_download_leaves_nothing_and_the_next_one_succeeds(
    server: tuple[str, list[str]],
    tmp_path: Path,
    progress: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = _archive(server[0], "good")
    with monkeypatch.context() as patched:
        patched.setattr(progress, "advance", _raise_keyboard_interrupt)
        with pytest.raises(KeyboardInterrupt):
            download(archive, tmp_path, progress)
    assert list(tmp_path.iterdir()) == []
    assert download(archive, tmp_path, progress).read_bytes() == CONTENT


def test_what_a_kill_left_behind_is_cleared_once_it_is_old(
    server: tuple[str, list[str]], tmp_path: Path, progress: Any
) -> None:
    old, new = tmp_path / ".a.tar.gz.old.part", tmp_path / ".a.tar.gz.new.part"
    for part in (old, new):
        part.mkdir()
        (part / "tmp").write_bytes(b"part")
    os.utime(old, (0, 0))
    download(_archive(server[0], "good"), tmp_path, progress)
    assert not old.exists()
    assert new.exists()  # Perhaps another process is writing it.


def test_a_cache_that_cannot_be_made_is_a_storage_error(
    server: tuple[str, list[str]], tmp_path: Path, progress: Any
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="TENFOLD_CACHE"):
        download(_archive(server[0], "good"), tmp_path / "file" / "cache", progress)


def test_a_damaged_file_is_named_with_both_checksums(tmp_path: Path) -> None:
    archive = _archive("http://127.0.0.1")
    path = tmp_path / "a.tar.gz"
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ChecksumError, match=rf"expected SHA-256 {archive.sha256}, received") as e:
        verify_archive(path, archive)
    assert "disk or network damaged it. Delete it" in str(e.value)
    path.write_bytes(CONTENT)
    verify_archive(path, archive)


def _raise_keyboard_interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
