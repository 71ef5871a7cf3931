"""Sums in an order that is fixed, whoever computes their terms: the same bits for any workers.

Addition of floating-point numbers depends on its order, so the order is made part of the result: a
binary tree over the terms. A worker adds up the subtrees that lie in its share, and workers
exchange those, not their sums: every worker gets one slice of all subtrees (a reduce-scatter), adds
them as the tree says, and hands the slice to the others (an all-gather). For 2, 4 or 8 workers that
is as little as any all-reduce sends; of other numbers a worker may have two or three subtrees.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Span = tuple[int, int]
"""Terms from the first to before the second: a node of the tree."""


class WorkerGroup:
    """Those who compute together; this one is alone.

    Attributes
    ----------
    rank
        This one's number, from 0.
    size
        How many they are.
    """

    rank = 0
    size = 1

    def share(self, count: int, rank: int | None = None) -> range:
        """Give the terms of `count` that a worker computes; this one's where no rank is given."""
        rank = self.rank if rank is None else rank
        return range(count * rank // self.size, count * (rank + 1) // self.size)

    def total(self, count: int, term: Callable[[int], Tensor], like: Tensor) -> Tensor:
        """Give the sum of terms 0 to `count` - 1, each of which one worker computes.

        Parameters
        ----------
        count
            Of the terms.
        term
            Computes one, shape (any,), and gives it away: it is written into.
        like
            A tensor of the terms' shape, type and device.
        """
        shares = [spans_of((0, count), self.share(count, rank)) for rank in range(self.size)]

        def of_one_term(span: Span) -> Tensor | None:
            return term(span[0]) if span[1] - span[0] == 1 else None

        own = [added(span, of_one_term) for span in shares[self.rank]]
        return self._joined(count, shares, own, like)

    def all_integers(self, values: Tensor) -> Tensor:
        """Give the sum of all workers' whole numbers."""
        return values

    def _joined(
        self, count: int, shares: list[list[Span]], own: list[Tensor], like: Tensor
    ) -> Tensor:
        del count, shares, like
        return own[0]


ALONE = WorkerGroup()


def added(span: Span, known: Callable[[Span], Tensor | None]) -> Tensor:
    """Add up a subtree whose parts are known somewhere below."""
    found = known(span)
    if found is not None:
        return found
    first, second = _halves(span)
    return added(first, known).add_(added(second, known))


def spans_of(span: Span, share: range) -> list[Span]:
    """Give the largest subtrees that lie in a worker's share."""
    if share.stop <= span[0] or span[1] <= share.start:
        return []
    if share.start <= span[0] and span[1] <= share.stop:
        return [span]
    first, second = _halves(span)
    return spans_of(first, share) + spans_of(second, share)


def _halves(span: Span) -> tuple[Span, Span]:
    """Cut at the largest power of two below the number of terms."""
    first, last = span
    middle = first + (1 << ((last - first - 1).bit_length() - 1))
    return (first, middle), (middle, last)
