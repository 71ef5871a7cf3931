"""Put the rows of a large array into another order without a second copy of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def reorder_rows(rows: npt.NDArray[np.uint8], order: npt.NDArray[np.intp]) -> None:
    """Make row k what row ``order[k]`` was, in place, for every k.

    Follows the permutation's cycles, so one spare row is all the memory it takes.

    Parameters
    ----------
    rows
        Shape (N, ...).
    order
        A permutation of 0 to N - 1.
    """
    assert len(order) == len(rows)
    sources = order.tolist()
    is_placed = [False] * len(sources)
    for start in range(len(sources)):
        if is_placed[start] or sources[start] == start:
            continue
        spare = rows[start].copy()
        target = start
        while (source := sources[target]) != start:
            rows[target] = rows[source]
            is_placed[target] = True
            target = source
        rows[target] = spare
        is_placed[target] = True
