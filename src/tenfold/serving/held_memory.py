"""How many bytes of requests and images the server holds, so that many cannot fill the memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from tenfold.serving.refusal import Refusal
from tenfold.sources.decoding_errors import NoMemoryNowError

_UNCOUNTED_BYTES = 2**20
"""Of a decoded image: as little as this is not worth counting, nor a refusal."""


class MemoryBudget:
    """The bytes that all requests together may hold, those of decoded images included.

    Parameters
    ----------
    most_bytes
        Beyond that, requests are refused.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._lock = threading.Lock()

    def request(self) -> HeldMemory:
        """Give the share of one request, as a context manager."""
        return HeldMemory(self)

    @contextmanager
    def decoding(self, size: int) -> Iterator[None]:
        """Hold what decoding an image takes; called in threads.

        Raises
        ------
        NoMemoryNowError
            If all together hold too much.
        """
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


class HeldMemory:
    """The bytes that one request holds; given back at its end, however it ends."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._own = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._budget.take(-self._own)

    def hold(self, size: int) -> None:
        """Count bytes that arrived.

        Raises
        ------
        Refusal
            503 if all requests together hold too much.
        """
        if not self._budget.take(size):
            raise Refusal(503, "busy", "Too many large requests at the moment. Try again later.")
        self._own += size
