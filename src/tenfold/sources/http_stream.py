"""The transport of a download: HTTP to a file, with progress, leaving a mirror that is too slow."""

from __future__ import annotations

import hashlib
import time
from contextlib import closing
from dataclasses import dataclass

from tenfold.core.progress import Task
from tenfold.sources.http_transfer import HttpTransfer, MirrorError, WrongFileError


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
        A mirror slower than this over its first `judged_after_seconds` is left for the next one,
        unless it is the last.
    slowest_ever_bytes_per_second
        Any mirror slower than this over any `judged_after_seconds` is left.
    """

    attempts: int = 3
    connect_seconds: float = 15.0
    stall_seconds: float = 60.0
    slowest_bytes_per_second: float = 200_000.0
    slowest_ever_bytes_per_second: float = 5_000.0
    judged_after_seconds: float = 30.0


class HttpStream:
    """A downloader as pooch wants one: called with an address and a file to fill.

    Parameters
    ----------
    task
        Told the bytes as they come.
    size_bytes
        Of the published file; a mirror that sends more is left at once.
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

    def __init__(
        self, task: Task, size_bytes: int, patience: DownloadPatience, *, may_be_slow: bool
    ) -> None:
        self._task = task
        self._size_bytes = size_bytes
        self._patience = patience
        self._slowest = (
            patience.slowest_ever_bytes_per_second
            if may_be_slow
            else patience.slowest_bytes_per_second
        )
        self.received_bytes = 0
        self.sha256 = ""

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Download `url` to the file named `output_file`.

        Raises
        ------
        MirrorError
            If the mirror is too slow, or sends another file.
        requests.RequestException
            If the connection fails.
        """
        del pooch
        transfer = HttpTransfer(
            url,
            connect_seconds=self._patience.connect_seconds,
            stall_seconds=self._patience.stall_seconds,
            most_bytes=self._size_bytes,
        )
        digest = hashlib.sha256()
        judged_bytes, began = 0, time.monotonic()
        with open(output_file, "wb") as file, closing(transfer.chunks()) as chunks:
            for chunk in chunks:
                self.received_bytes += len(chunk)
                if self.received_bytes > self._size_bytes:
                    raise WrongFileError(
                        f"it goes on after the {self._size_bytes:,} bytes of the published file"
                    )
                file.write(chunk)
                digest.update(chunk)
                self._task.advance(len(chunk))
                seconds = time.monotonic() - began
                if seconds >= self._patience.judged_after_seconds:
                    self._judge(self.received_bytes - judged_bytes, seconds)
                    judged_bytes, began = self.received_bytes, time.monotonic()
        self.sha256 = digest.hexdigest()

    def _judge(self, received_bytes: int, seconds: float) -> None:
        speed = received_bytes / seconds
        if speed < self._slowest:
            raise MirrorError(f"too slow: {speed / 1000:,.0f} kB/s over {seconds:.0f} s")
        # What has come is worth more than a faster mirror, as long as something comes.
        self._slowest = self._patience.slowest_ever_bytes_per_second
