"""Bodies on their way here, so that clients that send slowly cannot keep others out.

What is on its way is counted apart from what is decoded and computed, and when it is too much, not
the newcomer is refused but the body that came forward least lately: one that does not come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tenfold.serving.refusal import Refusal

SLOWEST_BYTES_PER_SECOND = 65_536
"""A body may take `seconds`, and another second for each of these; as Apache's MinRate."""
_BUSY = "Too many large requests at the moment. Try again later."


@dataclass(eq=False)
class _Body:
    patience: asyncio.Timeout
    began: float
    progressed: float
    size: int = 0
    pieces: list[bytes] = field(default_factory=list)
    gave_way: bool = False


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
            raise Refusal(503, "busy", _BUSY)
        return b"".join(body.pieces)

    def _add(self, body: _Body, piece: bytes, most_bytes: int) -> None:
        size = len(piece)
        if body.size + size > most_bytes:
            raise too_large(most_bytes)
        while self.held_bytes + size > self._most_bytes:
            stalled = min(self._bodies, key=lambda one: one.progressed)
            if stalled is body or stalled.size == 0:
                raise Refusal(503, "busy", _BUSY)
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


def too_large(most_bytes: int) -> Refusal:
    """Give the refusal of a body of more bytes than are taken."""
    return Refusal(
        413, "too_large", f"The body is too large; up to {most_bytes / 2**20:g} MiB are taken."
    )
