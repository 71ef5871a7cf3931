"""Batches are made by a thread while the network computes on those before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetched(items: Iterable[Item]) -> Iterator[Item]:
    """Give items in their order, the next one being made by a thread meanwhile.

    An error in making one is raised where it would have been given. Who stops early, or is stopped,
    waits for the one that is being made; no further one is.
    """
    coming_items, nothing = iter(items), object()
    with ThreadPoolExecutor(1, "prefetch") as pool:
        coming = pool.submit(next, coming_items, nothing)
        while (item := coming.result()) is not nothing:
            coming = pool.submit(next, coming_items, nothing)
            yield item  # type: ignore[misc]  # not `nothing`
