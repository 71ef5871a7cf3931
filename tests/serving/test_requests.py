"""Bodies that arrive at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from tenfold.serving.guard import Refusal
from tenfold.serving.requests import ArrivingBodies

STEP = 65_536


async def pieces(given: Sequence[bytes], then: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for one in given:
        yield one
        await asyncio.sleep(0)
    if then is not None:
        await then.wait()
        yield b"end"


def receive(*given: bytes, most_bytes: int = 1000, held: int = 1000) -> bytes:
    return asyncio.run(ArrivingBodies(held, 5).receive(pieces(given), most_bytes))


def test_a_body_is_its_pieces() -> None:
    assert receive(b"") == b""
    assert receive(b"ab", b"", b"cd") == b"abcd"


def test_one_that_is_too_large() -> None:
    with pytest.raises(Refusal) as caught:
        receive(b"a" * 600, b"a" * 600)
    assert (caught.value.status, caught.value.code) == (413, "too_large")


def test_one_that_alone_is_too_much() -> None:
    with pytest.raises(Refusal) as caught:
        receive(b"a" * 600, held=500)
    assert (caught.value.status, caught.value.code) == (503, "busy")


def test_one_that_does_not_come() -> None:
    async def run() -> None:
        bodies = ArrivingBodies(1000, 0.02)
        with pytest.raises(Refusal) as caught:
            await bodies.receive(pieces([b"a"], asyncio.Event()), 1000)
        assert (caught.value.status, caught.value.code) == (408, "too_slow")
        assert bodies.held_bytes == 0

    asyncio.run(run())


def test_one_that_comes_steadily_has_longer() -> None:
    async def steadily() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(STEP)
            await asyncio.sleep(0.05)

    async def run() -> bytes:
        return await ArrivingBodies(10 * STEP, 0.1).receive(steadily(), 10 * STEP)

    assert len(asyncio.run(run())) == 4 * STEP


def test_those_that_stall_give_way_to_those_that_come() -> None:
    async def run() -> list[bytes | BaseException]:
        bodies, never = ArrivingBodies(10 * STEP, 5), asyncio.Event()
        stalled = [
            asyncio.create_task(bodies.receive(pieces([bytes(4 * STEP)], never), 10 * STEP))
            for _ in range(2)
        ]
        await asyncio.sleep(0.02)
        for _ in range(3):
            assert len(await bodies.receive(pieces([bytes(STEP)] * 3), 10 * STEP)) == 3 * STEP
        assert bodies.held_bytes == 4 * STEP, "one was enough"
        never.set()
        outcomes = await asyncio.gather(*stalled, return_exceptions=True)
        assert bodies.held_bytes == 0
        return outcomes

    first, second = asyncio.run(run())
    assert isinstance(first, Refusal)
    assert (first.status, first.code) == (503, "busy")
    assert isinstance(second, bytes)
    assert len(second) == 4 * STEP + 3
