"""How many bytes of requests the server holds, so that many large ones cannot fill the memory."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tenfold.serving.refusal import Refusal


class MemoryBudget:
    """The bytes that all requests together may hold.

    Parameters
    ----------
    most_bytes
        Beyond that, requests are refused.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0

    def request(self) -> HeldMemory:
        """Give the share of one request, as a context manager."""
        return HeldMemory(self)


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
        self._budget.held_bytes -= self._own

    def hold(self, size: int) -> None:
        """Count bytes that arrived.

        Raises
        ------
        Refusal
            503 if all requests together hold too much.
        """
        if self._budget.held_bytes + size > self._budget.most_bytes:
            raise Refusal(503, "busy", "Too many large requests at the moment. Try again later.")
        self._own += size
        self._budget.held_bytes += size
