"""How many bytes of requests and images the server holds, so that many cannot fill the memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tenfold.data.images.formats import NoMemoryNowError
from tenfold.serving.refusal import Refusal

HoldBytes = Callable[[int], None]
_UNCOUNTED_BYTES = 2**20
"""Of a decoded image: as little as this is not worth counting, nor a refusal."""


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
                raise Refusal(
                    503, "busy", "Too many large requests at the moment. Try again later."
                )
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
