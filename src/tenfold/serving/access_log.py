"""One line of JSON a request, written beside the answering and never in its way."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

from tenfold.core.errors import SettingsError

STANDARD_OUTPUT = "-"
_GATHERING_SECONDS = 0.2
"""A thread woken for each line would take the answers' time."""
_MOST_LINES = 20_000
"""That wait to be written; what comes then is left out and counted."""
_CLOSING_SECONDS = 2.0
_LONGEST = 1024
_LOG = logging.getLogger("tenfold.serving")


@dataclass(frozen=True, slots=True)
class Access:
    """One request that was answered, or was not."""

    at: float
    """Seconds since the epoch, when it began."""
    request_id: str
    trace_id: str
    span_id: str
    parent_id: str | None
    client: str | None
    """Its address; behind a proxy, the proxy's."""
    token: str | None
    """The name of the token that it showed."""
    method: str
    path: str
    status: int
    """499 for a client that left."""
    seconds: float
    received_bytes: int | None
    """As the request says; None where it does not."""
    sent_bytes: int
    error: str | None
    """The code of a refusal."""
    user_agent: str | None

    def line(self) -> bytes:
        """Give it as one line of ASCII: nothing in it can steer a terminal or begin a line."""
        values = asdict(self)
        when = datetime.fromtimestamp(values.pop("at"), UTC).isoformat(timespec="milliseconds")
        values["seconds"] = round(self.seconds, 6)
        values["path"] = self.path[:_LONGEST]
        if self.user_agent is not None:
            values["user_agent"] = self.user_agent[:_LONGEST]
        told = {name: value for name, value in values.items() if value is not None}
        return json.dumps({"time": when, **told}, separators=(",", ":")).encode() + b"\n"


class AccessLog:
    """Appends to a file, or to standard output; a file that was moved away is begun anew.

    Parameters
    ----------
    place
        The file's path, or ``-``.

    Raises
    ------
    SettingsError
        If it cannot be written to.
    """

    def __init__(self, place: str) -> None:
        self._path = None if place == STANDARD_OUTPUT else Path(place)
        self._file = 1
        if self._path is not None:
            try:
                self._file = _opened(self._path)
            except OSError as error:
                raise SettingsError(
                    f"The access log {place} cannot be written to: {error.strerror or error}. Give "
                    "--access-log a file in a folder that exists, or - for standard output."
                ) from error
        self._waiting: list[Access] = []
        self._batches: SimpleQueue[list[Access] | None] = SimpleQueue()
        self._unwritten = 0
        self._left_out = 0
        self._failed = False
        self._thread = threading.Thread(target=self._work, name="access-log", daemon=True)
        self._thread.start()

    def add(self, access: Access) -> None:
        """Write a request's line soon; called in an event loop."""
        if self._unwritten >= _MOST_LINES:
            self._left_out += 1
            return
        self._unwritten += 1
        self._waiting.append(access)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(_GATHERING_SECONDS, self._hand_over)

    def close(self) -> None:
        """Write what waits; whoever does not take it within some seconds goes without."""
        self._hand_over()
        self._batches.put(None)
        self._thread.join(_CLOSING_SECONDS)

    def _hand_over(self) -> None:
        if self._waiting:
            self._batches.put(self._waiting)
            self._waiting = []

    def _work(self) -> None:
        """Write batches; runs in a thread of its own until `close`."""
        while (batch := self._batches.get()) is not None:
            content = b"".join(access.line() for access in batch)
            left_out, self._left_out = self._left_out, 0
            if left_out:
                content += json.dumps({"left_out_lines": left_out}).encode() + b"\n"
            try:
                self._write(content)
                self._failed = False
            except OSError as error:
                if not self._failed:  # once, not five times a second
                    _LOG.error("The access log cannot be written: %s.", error.strerror or error)
                self._failed = True
            self._unwritten -= len(batch)
        if self._path is not None:
            os.close(self._file)

    def _write(self, content: bytes) -> None:
        if self._path is not None and not _is_at(self._file, self._path):
            fresh = _opened(self._path)
            os.close(self._file)
            self._file = fresh
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._file, rest) :]


def _opened(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, 0o640)


def _is_at(file: int, path: Path) -> bool:
    """Say whether a path still is the open file; of what is no plain file nothing is asked."""
    there = os.fstat(file)
    if not stat.S_ISREG(there.st_mode):
        return True
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (there.st_dev, there.st_ino)
