"""What of each request is written down, and what happens where it cannot be."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import SettingsError
from tenfold.serving import access_log
from tenfold.serving.access_log import Access, AccessLog
from tenfold.serving.operations import Operations
from tenfold.serving.tokens import Tokens

TOKEN = "s3cret-s3cret-s3cret"
ALLOWED = {"authorization": f"Bearer {TOKEN}"}


def access(**changes: Any) -> Access:
    values: dict[str, Any] = {
        **dict.fromkeys(Access.__slots__),
        "at": 0.0,
        "request_id": "r",
        "trace_id": "t",
        "span_id": "s",
        "method": "GET",
        "path": "/",
        "status": 200,
        "seconds": 0.5,
        "sent_bytes": 3,
    }
    return Access(**(values | changes))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_request_is_a_line(tmp_path: Path, client: Any, make_png: Any) -> None:
    (tmp_path / "tokens").write_text(f"shop {TOKEN} 2/hour\n")
    path = tmp_path / "access.jsonl"
    log = AccessLog(str(path))
    one = client(operations=Operations(Tokens.read(tmp_path / "tokens"), log))
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    content = make_png()
    answer = one("POST", "/api/predict", content, ALLOWED | {"traceparent": parent})
    assert answer.status == 200
    refused = one("GET", "/api/model", headers={"user-agent": "\x1b[2J\n{}"})
    one("GET", "/no/such", headers=ALLOWED)
    one("GET", "/api/model", headers=ALLOWED)
    log.close()
    first, second, third, fourth = lines(path)
    assert (first["method"], first["path"], first["status"]) == ("POST", "/api/predict", 200)
    assert (first["token"], first["client"]) == ("shop", "127.0.0.1")
    assert (first["received_bytes"], first["sent_bytes"]) == (len(content), len(answer.body))
    assert first["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (first["parent_id"], len(first["span_id"])) == ("00f067aa0ba902b7", 16)
    assert answer.headers["x-request-id"] == first["request_id"]
    assert 0 < first["seconds"] < 60
    assert first["time"].endswith("+00:00")
    assert (second["status"], second["error"]) == (401, "unauthorized")
    assert refused.headers["x-request-id"] == second["request_id"]
    assert second["user_agent"] == "\x1b[2J\n{}", "escaped in the file"
    assert third["status"] == 404
    assert (fourth["status"], fourth["token"]) == (429, "shop"), "who asks too often"
    assert TOKEN not in path.read_text()
    assert b"\x1b" not in path.read_bytes()


def test_a_file_that_was_moved_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(str(path))

    async def answer() -> None:
        log.add(access(path="/one"))
        log._hand_over()
        while log._unwritten:
            await asyncio.sleep(0.01)
        path.rename(tmp_path / "access.jsonl.1")
        log.add(access(path="/two"))

    asyncio.run(answer())
    log.close()
    assert [one["path"] for one in lines(tmp_path / "access.jsonl.1")] == ["/one"]
    assert [one["path"] for one in lines(path)] == ["/two"]


def test_nobody_waits_for_a_log_that_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "_MOST_LINES", 2000)
    monkeypatch.setattr(access_log, "_CLOSING_SECONDS", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(pipe))

    async def answer() -> None:
        for _ in range(3000):
            log.add(access())

    asyncio.run(answer())
    log.close()
    assert log._unwritten == 2000, "the pipe takes 64 KiB"
    os.set_blocking(reader, True)
    received = b""
    while log._thread.is_alive() or log._unwritten:
        received += os.read(reader, 65_536)
    log._thread.join(10)
    while part := os.read(reader, 65_536):
        received += part
    os.close(reader)
    assert received.count(b"\n") == 2001
    assert received.endswith(b'{"left_out_lines": 1000}\n')


def test_a_full_disk_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    log = AccessLog("/dev/full")

    async def answer() -> None:
        for _ in range(3):
            log.add(access())
            log._hand_over()

    asyncio.run(answer())
    log.close()
    assert len(caplog.records) == 1
    assert log._unwritten == 0


@pytest.mark.parametrize("name", ["", "no/such/log"])
def test_a_place_that_cannot_be_written_to(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--access-log"):
        AccessLog(str(tmp_path / name))
