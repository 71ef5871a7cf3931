from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tenfold.training.prefetching import prefetched


class Source:
    """Gives 0, 1, 2, ..., and notes which thread asked."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.count, self.fails_at = count, fails_at
        self.given = 0
        self.made = threading.Semaphore(0)
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            self.threads.add(threading.get_ident())
            if number == self.fails_at:
                raise ValueError("no picture")
            self.given += 1
            self.made.release()
            yield number


def test_items_come_in_their_order_out_of_one_other_thread() -> None:
    source = Source(50)
    assert list(prefetched(source)) == list(range(50))
    assert len(source.threads) == 1
    assert threading.get_ident() not in source.threads
    assert list(prefetched([])) == []


def test_the_next_is_made_while_the_last_is_used() -> None:
    source = Source(3)
    items = prefetched(source)
    next(items)
    for _ in range(2):  # nobody has asked for the second
        assert source.made.acquire(timeout=30)


def test_an_error_is_raised_in_its_place() -> None:
    items = prefetched(Source(5, fails_at=2))
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="no picture"):
        next(items)


def test_who_is_stopped_leaves_no_thread_and_makes_no_more() -> None:
    before = threading.active_count()
    source = Source(50)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        items = prefetched(source)
        for number in items:
            if number == 3:
                items.throw(KeyboardInterrupt)
    assert threading.active_count() == before
    assert source.given <= 5
