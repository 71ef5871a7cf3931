"""One HTTP transfer, bounded in bytes and in time.

A time-out of a socket counts from the last byte, so a server that gives a byte now and then, a
header or redirection after another, holds whoever reads it for ever. The request therefore runs in
a thread of its own, and whoever wants the bytes waits for that thread as long as they choose.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from tenfold.core.progress import Task

if TYPE_CHECKING:
    import requests

_CHUNK_BYTES = 2**14
_MOST_REDIRECTIONS = 5
_CHUNKS_AHEAD = 16
_LOOKS_EACH_SECONDS = 0.1


class MirrorError(Exception):
    """Why one mirror did not give the file; caught by whoever tries the next."""


class WrongFileError(MirrorError):
    """The mirror gives another file."""


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


class HttpTransfer:
    """The body of an answer as it was sent: a ``Content-Encoding`` is not undone.

    Redirections are followed to other hosts, as a checksum says whether the file is the right one,
    but not from https to anything else.

    Parameters
    ----------
    url
        An address with http or https.
    connect_seconds, stall_seconds
        The longest wait for a connection, and for the next bytes.
    most_bytes
        Of the body; nothing is read of an answer that says that it has more.
    """

    def __init__(
        self, url: str, *, connect_seconds: float, stall_seconds: float, most_bytes: int
    ) -> None:
        self._url = url
        self._waits = (connect_seconds, stall_seconds)
        self._most_bytes = most_bytes
        self._arrived: queue.Queue[bytes | Exception | None] = queue.Queue(_CHUNKS_AHEAD)
        self._is_left = threading.Event()

    def chunks(self) -> Generator[bytes, None, None]:
        """Give the body piece by piece.

        Raises
        ------
        MirrorError
            If the server redirects to where it may not, or answers with something else.
        requests.RequestException
            If the connection fails, or nothing comes for too long.
        """
        import requests

        threading.Thread(target=self._fetch, name="download", daemon=True).start()
        connect_seconds, stall_seconds = self._waits
        patience = connect_seconds + 2 * stall_seconds  # for the headers and for the first bytes
        try:
            while True:
                try:
                    item = self._arrived.get(timeout=patience)
                except queue.Empty:
                    raise requests.ReadTimeout("nothing for too long") from None
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item
                patience = 2 * stall_seconds
        finally:
            self._is_left.set()

    def _fetch(self) -> None:
        """Put the body's pieces into the queue, then None or what went wrong."""
        import requests

        try:
            with _session() as session, self._answer(session) as answer:
                while not self._is_left.is_set() and (chunk := _read(answer)):
                    self._put(chunk)
            self._put(None)
        except (MirrorError, requests.RequestException) as error:
            self._put(error)
        except Exception as error:  # An address or header that nobody could foresee.
            self._put(MirrorError(f"it answers nonsense ({type(error).__name__})"))

    def _put(self, item: bytes | Exception | None) -> None:
        while not self._is_left.is_set():
            try:
                self._arrived.put(item, timeout=_LOOKS_EACH_SECONDS)
            except queue.Full:
                continue
            return

    def _answer(self, session: requests.Session) -> requests.Response:
        import requests

        url = self._url
        for _ in range(_MOST_REDIRECTIONS + 1):
            answer = session.get(
                url, stream=True, timeout=self._waits, headers={"Accept-Encoding": "identity"}
            )
            try:
                if answer.is_redirect:
                    url = _redirected(url, answer.headers["Location"])
                elif answer.status_code != requests.codes.ok:
                    raise requests.HTTPError(response=answer)
                else:
                    self._check_length(answer.headers.get("Content-Length", ""))
                    return answer
            except Exception:
                answer.close()
                raise
            answer.close()
        raise MirrorError(f"it redirects more than {_MOST_REDIRECTIONS} times")

    def _check_length(self, length: str) -> None:
        if length.isdecimal() and len(length) < 20 and int(length) > self._most_bytes:
            raise WrongFileError(
                f"it has {int(length):,} bytes; the published file has {self._most_bytes:,}"
            )


def _session() -> requests.Session:
    import requests

    class OneAnswer(requests.Session):
        """Leaves redirections alone: requests reads their bodies, whatever their length."""

        def get_redirect_target(self, resp: requests.Response) -> str | None:
            del resp
            return None

    return OneAnswer()


def _redirected(url: str, location: str) -> str:
    target = urljoin(url, location)
    old, new = urlsplit(url).scheme, urlsplit(target).scheme
    if new != "https" and (new, old) != ("http", "http"):
        raise MirrorError(f"it redirects from {old} to {new[:20] or 'nowhere'}")
    return target


def _read(answer: requests.Response) -> bytes:
    import requests
    from urllib3 import exceptions

    try:
        chunk: bytes = answer.raw.read(_CHUNK_BYTES, decode_content=False)
    except exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout(str(error)) from error
    except exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(str(error)) from error
    return chunk
