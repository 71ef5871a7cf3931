"""A request's body, received within limits of bytes, files, memory and time.

What is on its way is counted apart from what is decoded and computed, so that clients that send
slowly cannot keep others out: when it is too much, not the newcomer is refused but the body that
came forward least lately, one that does not come.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from tenfold.data.images.formats import NoMemoryNowError
from tenfold.serving.guard import Refusal
from tenfold.serving.settings import ServingSettings

_MOST_FIELDS = 100
_STEP_BYTES = 2**15
"""Of a form that are read before others have their turn."""
SLOWEST_BYTES_PER_SECOND = 65_536
"""A body may take `seconds`, and another second for each of these; as Apache's MinRate."""
_UNCOUNTED_BYTES = 2**20
"""Of a decoded image: as little as this is not worth counting, nor a refusal."""
HoldBytes = Callable[[int], None]


@dataclass(frozen=True)
class Upload:
    """One image as it was sent."""

    name: str
    """As the client called it; for the answer only, it is never opened."""
    content: bytes = field(repr=False)
    pixels: npt.NDArray[np.uint8] | None = field(default=None, repr=False)
    """Shape (H, W, C), as the network takes them; then there is no content."""


async def receive_body(
    request: Request, settings: ServingSettings, arriving: ArrivingBodies, hold: HoldBytes
) -> bytes:
    """Give the whole body of a request: `arriving` counts it while it arrives, `hold` from then on.

    One that is too large or too slow is a `Refusal`.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > settings.body_bytes):
        raise _too_large(settings.body_bytes)
    body = await arriving.receive(request.stream(), settings.body_bytes)
    hold(len(body))
    return body


class ArrivingBodies:
    """The bodies that all clients are sending, at most `most_bytes`; belongs to one event loop.

    A small one has to arrive in `seconds`; see `SLOWEST_BYTES_PER_SECOND`.
    """

    def __init__(self, most_bytes: int, seconds: float) -> None:
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._bodies: set[_Body] = set()
        self.held_bytes = 0

    async def receive(self, stream: AsyncIterator[bytes], most_bytes: int) -> bytes:
        """Give a whole body of at most `most_bytes`.

        It is refused with 413 if it is too large, 408 if too slow, 503 if it gave way to others.
        """
        now = asyncio.get_running_loop().time()
        body = None
        try:
            async with asyncio.timeout_at(now + self._seconds) as patience:
                body = _Body(patience, now, now)
                self._bodies.add(body)
                async for piece in stream:
                    self._add(body, piece, most_bytes)
        except TimeoutError:
            if body is None or not body.gave_way:
                raise Refusal(
                    408, "too_slow", f"The body did not arrive within {self._seconds:g} s."
                ) from None
        finally:
            if body is not None:
                self._let_go(body)
        if body.gave_way:
            raise _busy()
        return b"".join(body.pieces)

    def _add(self, body: _Body, piece: bytes, most_bytes: int) -> None:
        size = len(piece)
        if body.size + size > most_bytes:
            raise _too_large(most_bytes)
        while self.held_bytes + size > self._most_bytes:
            stalled = min(self._bodies, key=lambda one: one.progressed)
            if stalled is body or stalled.size == 0:
                raise _busy()
            self._give_way(stalled)
        steps = body.size // SLOWEST_BYTES_PER_SECOND
        body.size += size
        self.held_bytes += size
        body.pieces.append(piece)
        if body.size // SLOWEST_BYTES_PER_SECOND > steps and not body.gave_way:
            body.progressed = asyncio.get_running_loop().time()
            more = body.size / SLOWEST_BYTES_PER_SECOND
            body.patience.reschedule(body.began + self._seconds + more)

    def _give_way(self, body: _Body) -> None:
        body.gave_way = True
        self._let_go(body)
        body.pieces.clear()
        body.patience.reschedule(asyncio.get_running_loop().time())

    def _let_go(self, body: _Body) -> None:
        self._bodies.discard(body)
        self.held_bytes -= body.size
        body.size = 0


@dataclass(eq=False)
class _Body:
    patience: asyncio.Timeout
    began: float
    progressed: float
    size: int = 0
    pieces: list[bytes] = field(default_factory=list)
    gave_way: bool = False


class MemoryBudget:
    """The bytes that all requests together may hold, those of decoded images included."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._lock = threading.Lock()

    @contextmanager
    def request(self) -> Iterator[HoldBytes]:
        """Give what counts the bytes that a request holds until its end, however it ends.

        It raises a `Refusal`, 503, if all requests together hold too much.
        """
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if not self.take(size):
                raise _busy()
            held += size

        try:
            yield hold
        finally:
            self.take(-held)

    @contextmanager
    def decoding(self, size: int) -> Iterator[None]:
        """Hold what decoding an image takes, or raise a `NoMemoryNowError`; called in threads."""
        if size <= _UNCOUNTED_BYTES:
            yield
            return
        if not self.take(size):
            raise NoMemoryNowError
        try:
            yield
        finally:
            self.take(-size)

    def take(self, size: int) -> bool:
        """Count so many bytes more, unless that is too much; fewer if `size` is negative."""
        with self._lock:
            if size > 0 and self.held_bytes + size > self.most_bytes:
                return False
            self.held_bytes += size
            return True


async def read_form(content_type: str, body: bytes, *, most_files: int) -> list[Upload]:
    """Give the files of a ``multipart/form-data`` body; fields that are no files are left out.

    It is refused with 400 if it is no such body or ends too early, 413 if it has too many parts.
    """
    parser = _FormParser(content_type, body, most_files)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise _form_refusal(error, most_files) from None
    except UnicodeError:  # of a charset that Content-Type names
        raise _bad_form("a name is not in the charset that the form says") from None
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    uploads = [Upload(one.filename or "", one.file.read()) for one in files]
    await form.close()
    return uploads


class _FormParser(MultiPartParser):
    """Starlette's, for a body that is there, within bounds and without files on a disk."""

    spool_max_size = 0  # a file of any size stays in memory
    _is_whole = False

    def __init__(self, content_type: str, body: bytes, most_files: int) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise Refusal(400, "bad_form", "The form's Content-Type has no boundary.")
        super().__init__(
            Headers({"content-type": content_type}),
            self._pieces(body, boundary),
            max_files=most_files,
            max_fields=_MOST_FIELDS,
            max_part_size=len(body),
        )

    def on_end(self) -> None:
        """Note the last boundary."""
        self._is_whole = True

    async def _pieces(self, body: bytes, boundary: bytes) -> AsyncGenerator[bytes, None]:
        """Give the body, unless a line begins with the boundary and goes on.

        Of such lines, which RFC 2046 (5.1.1) forbids, python-multipart reads byte by byte: a second
        for each MiB.
        """
        delimiter = b"\r\n--" + boundary
        going_on = re.compile(re.escape(delimiter) + rb"(?:[^\r-]|\r[^\n]|-[^-])")
        for start in range(0, len(body), _STEP_BYTES):
            end = start + _STEP_BYTES
            if going_on.search(body, start, end + len(delimiter) + 1):
                raise _bad_form("a boundary goes on")
            yield body[start:end]
            await asyncio.sleep(0)
        if not self._is_whole:
            raise Refusal(400, "bad_form", "The form ends before its last boundary.")


def _form_refusal(error: MultiPartException, most_files: int) -> Refusal:
    """Give our words for what Starlette says."""
    if error.message.startswith("Too many files"):
        return too_many_images(most_files)
    if error.message.startswith("Too many fields"):
        return Refusal(
            413, "too_many_fields", f"Up to {_MOST_FIELDS} fields without a file are taken."
        )
    return _bad_form(str(error.__cause__ or error.message).rstrip("."))


def too_many_images(most: int) -> Refusal:
    """Say that a request holds too many images."""
    return Refusal(
        413,
        "too_many_images",
        f"More than {most:,} images were received in one request. Send several requests.",
    )


def _bad_form(reason: str) -> Refusal:
    return Refusal(400, "bad_form", f"The form cannot be read: {reason}.")


def _too_large(most_bytes: int) -> Refusal:
    return Refusal(
        413, "too_large", f"The body is too large; up to {most_bytes / 2**20:g} MiB are taken."
    )


def _busy() -> Refusal:
    return Refusal(503, "busy", "Too many large requests at the moment. Try again later.")
