"""The transport of a download: HTTP to a file, with progress, leaving a mirror that is too slow."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from tenfold.core.progress import Task

_CHUNK_BYTES = 2**16


@dataclass(frozen=True)
class DownloadPatience:
    """When to give up on a mirror.

    Parameters
    ----------
    attempts
        How often a mirror is tried when the connection breaks.
    connect_seconds, stall_seconds
        The longest wait for a connection, and for the next bytes.
    slowest_bytes_per_second
        A mirror slower than this over its first `judged_after_seconds` is left for the next one;
        the last mirror may be as slow as it likes.
    """

    attempts: int = 3
    connect_seconds: float = 15.0
    stall_seconds: float = 60.0
    slowest_bytes_per_second: float = 200_000.0
    judged_after_seconds: float = 30.0


class MirrorError(Exception):
    """Why one mirror did not give the file; caught by whoever tries the next."""


class HttpStream:
    """A downloader as pooch wants one: called with an address and a file to fill.

    Parameters
    ----------
    task
        Told the bytes as they come.
    patience
        When to give up.
    may_be_slow
        Whether even a slow mirror is better than none.

    Attributes
    ----------
    received_bytes
        Of the last call.
    sha256
        Of what the last call received, hexadecimal.
    """

    def __init__(self, task: Task, patience: DownloadPatience, *, may_be_slow: bool) -> None:
        self._task = task
        self._patience = patience
        self._is_judged = may_be_slow
        self.received_bytes = 0
        self.sha256 = ""

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Download `url` to the file named `output_file`.

        Raises
        ------
        MirrorError
            If the mirror is too slow.
        requests.RequestException
            If the connection fails.
        """
        del pooch
        import requests

        digest = hashlib.sha256()
        started = time.monotonic()
        waits = (self._patience.connect_seconds, self._patience.stall_seconds)
        with (
            requests.get(url, stream=True, timeout=waits) as response,
            open(output_file, "wb") as file,
        ):
            response.raise_for_status()
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                self.received_bytes += len(chunk)
                self._task.advance(len(chunk))
                self._judge(time.monotonic() - started)
        self.sha256 = digest.hexdigest()

    def _judge(self, seconds: float) -> None:
        if self._is_judged or seconds < self._patience.judged_after_seconds:
            return
        self._is_judged = True
        speed = self.received_bytes / seconds
        if speed < self._patience.slowest_bytes_per_second:
            raise MirrorError(f"too slow: {speed / 1000:,.0f} kB/s over {seconds:.0f} s")
