"""What waits is computed together, nobody waits alone, and nothing is mixed up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tenfold.serving.guard import Refusal
from tenfold.serving.predictor import Batcher


class Network:
    """Gives each image's first value, and notes the sizes of its batches."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.may_run = threading.Event()
        self.may_run.set()

    def __call__(self, images: Any) -> Any:
        self.may_run.wait(10)
        self.sizes.append(len(images))
        return images[:, 0, 0, :].astype(np.float32)


def batcher(network: Any, **changes: Any) -> Batcher:
    values: dict[str, Any] = {"most_images": 4, "most_waiting": 100}
    return Batcher(network, **(values | changes))


def image(value: int) -> Any:
    return np.full((1, 1, 1), value, np.uint8)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.001)


async def submit(batches: Batcher, value: int) -> float:
    row = await batches.submit(lambda: image(value))
    return float(row[0])


def test_one_image_is_computed_at_once() -> None:
    network = Network()

    async def run() -> float:
        return await asyncio.wait_for(submit(batcher(network), 7), 5)

    assert asyncio.run(run()) == 7
    assert network.sizes == [1]


def test_what_arrives_meanwhile_is_one_batch_and_each_gets_its_own() -> None:
    network = Network()
    network.may_run.clear()

    async def run() -> list[float]:
        batches = batcher(network)
        tasks = [asyncio.create_task(submit(batches, value)) for value in range(7)]
        await until(lambda: batches.waiting == 6)
        network.may_run.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == list(range(7))
    assert network.sizes == [1, 4, 2]


def test_an_image_that_cannot_be_made_concerns_its_sender_alone() -> None:
    network = Network()
    network.may_run.clear()
    counted: list[int] = []

    def refuse() -> Any:
        raise Refusal(422, "unreadable", "no")

    async def run() -> list[Any]:
        batches = batcher(network, on_batch=counted.append)
        first = asyncio.create_task(submit(batches, 9))
        await until(lambda: batches.running_seconds > 0)
        others = [
            asyncio.create_task(submit(batches, 1)),
            asyncio.create_task(batches.submit(refuse)),
            asyncio.create_task(submit(batches, 3)),
        ]
        await until(lambda: batches.waiting == 3)
        network.may_run.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    first, second, refused, fourth = asyncio.run(run())
    assert (first, second, fourth) == (9, 1, 3)
    assert isinstance(refused, Refusal)
    assert network.sizes == counted == [1, 2]


def test_a_batch_of_images_that_cannot_be_made_does_not_stop_the_next() -> None:
    network = Network()

    def refuse() -> Any:
        raise Refusal(422, "unreadable", "no")

    async def run() -> float:
        batches = batcher(network)
        with pytest.raises(Refusal):
            await batches.submit(refuse)
        return await submit(batches, 5)

    assert asyncio.run(run()) == 5
    assert network.sizes == [1]


def test_too_many_are_refused_and_the_others_answered() -> None:
    network = Network()
    network.may_run.clear()

    async def run() -> list[Any]:
        batches = batcher(network, most_waiting=3)
        tasks = [asyncio.create_task(submit(batches, value)) for value in range(6)]
        await until(lambda: sum(task.done() for task in tasks) == 2)
        network.may_run.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(run())
    assert results[:4] == [0, 1, 2, 3]
    assert [one.status for one in results[4:] if isinstance(one, Refusal)] == [503, 503]


def test_clients_that_gave_up_are_not_computed() -> None:
    network = Network()
    network.may_run.clear()

    async def run() -> list[Any]:
        batches = batcher(network)
        tasks = [asyncio.create_task(submit(batches, value)) for value in range(4)]
        await until(lambda: batches.waiting == 3)
        tasks[1].cancel()
        tasks[2].cancel()
        await asyncio.sleep(0)
        network.may_run.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(run())
    assert results[0] == 0
    assert results[3] == 3
    assert network.sizes == [1, 1]


def test_an_error_of_the_network_reaches_all_and_ends_with_them() -> None:
    calls = 0

    def network(images: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("no")
        return images[:, 0, 0, :].astype(np.float32)

    async def run() -> float:
        batches = batcher(network)
        with pytest.raises(ValueError, match="no"):
            await submit(batches, 1)
        return await submit(batches, 2)

    assert asyncio.run(run()) == 2


def test_a_network_that_hangs_is_known_and_asked_no_more() -> None:
    network = Network()
    network.may_run.clear()

    async def run() -> float:
        batches = batcher(network, stuck_seconds=0.05)
        first = asyncio.create_task(submit(batches, 1))
        await until(lambda: batches.running_seconds > 0.05)
        with pytest.raises(Refusal) as caught:
            await submit(batches, 2)
        assert (caught.value.status, caught.value.code) == (503, "not_ready")
        network.may_run.set()
        assert await first == 1
        assert batches.running_seconds == 0
        return await submit(batches, 3)

    assert asyncio.run(run()) == 3


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt(), MemoryError()])
def test_nothing_ends_the_networks_thread(error: BaseException) -> None:
    errors = [error]

    def network(images: Any) -> Any:
        if errors:
            raise errors.pop()
        return images[:, 0, 0, :].astype(np.float32)

    async def run() -> float:
        batches = batcher(network)
        with pytest.raises((RuntimeError, MemoryError)):
            await submit(batches, 1)
        return await submit(batches, 2)

    assert asyncio.run(run()) == 2
