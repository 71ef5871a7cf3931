"""The nearest of many vectors, in time that grows with their number and not with its square.

The references are put into cells around centres, and a query is compared with those in the cells
whose centres are most like it: the inverted file of Jégou, Douze and Schmid, "Product Quantization
for Nearest Neighbor Search" (IEEE TPAMI 33, 2011), without its quantization. Few vectors are
compared with all, and the result is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tenfold.data.descriptors import Vectors, nearest

MOST_EXACT = 2**16
"""References that every query is compared with; CIFAR-10 has 60,000 images."""

_CELL = 2048  # references in a cell, about
_LARGEST_CELL = 4 * _CELL
_PROBED = 8  # cells that a query is compared with; on made-up vectors 97% of near ones were found
_SAMPLE = 64  # vectors a centre is found by
_ROUNDS = 6
_ROWS = 2048


def nearest_of_many(
    queries: Vectors,
    references: Vectors,
    count: int,
    *,
    start: int = 0,
    on_rows: Callable[[int], None] | None = None,
    most_exact: int = MOST_EXACT,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Give each query's most similar references, its own row left out.

    Parameters
    ----------
    queries, references, count, start, on_rows
        See `tenfold.data.descriptors.nearest`.
    most_exact
        From more references on, only those in the cells nearest to a query are looked at.

    Returns
    -------
    indices
        int64, shape (M, count), the most similar first; where fewer were found, again the last.
    similarities
        float32, of the same shape; minus infinity for those.
    """
    if len(references) <= most_exact:
        return nearest(queries, references, count, start=start, on_rows=on_rows)
    return _Cells.of(references).nearest(queries, count, start=start, on_rows=on_rows)


@dataclass(frozen=True)
class _Cells:
    """References, cell by cell.

    Parameters
    ----------
    references
        Shape (N, dimensions).
    centres
        Shape (cells, dimensions), each of length 1.
    members
        int64, shape (N,): the references' places, those of a cell one after the other.
    starts
        int64, shape (cells + 1,): where each cell's members begin.
    """

    references: Vectors
    centres: Tensor
    members: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    @classmethod
    @torch.inference_mode()
    def of(cls, references: Vectors) -> _Cells:
        generator = np.random.default_rng(0)
        centres: list[Tensor] = []
        cells: list[npt.NDArray[np.int64]] = []
        waiting = [(np.arange(len(references)), 0)]
        while waiting:
            members, depth = waiting.pop()
            found = _centres(references, members, generator)
            own = _most_like(references, members, found, 1)[:, 0]
            for number in range(len(found)):
                cell = members[own == number]
                if len(cell) > _LARGEST_CELL and depth < 2:
                    waiting.append((cell, depth + 1))
                    continue
                # What does not come apart is all alike: any of it will do as a neighbour.
                for first in range(0, len(cell), _LARGEST_CELL):
                    cells.append(cell[first : first + _LARGEST_CELL])
                    centres.append(found[number])
        return cls(
            references,
            torch.stack(centres),
            np.concatenate(cells),
            np.cumsum([0, *map(len, cells)]),
        )

    @torch.inference_mode()
    def nearest(
        self,
        queries: Vectors,
        count: int,
        *,
        start: int,
        on_rows: Callable[[int], None] | None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        probed = min(_PROBED, len(self.centres))
        cells = _most_like(queries, np.arange(len(queries)), self.centres, probed)
        values = np.full((len(queries), probed, count), -np.inf, np.float32)
        places = np.zeros((len(queries), probed, count), np.int64)
        by_cell = np.argsort(cells.ravel(), kind="stable")
        bounds = np.searchsorted(cells.ravel()[by_cell], np.arange(len(self.centres) + 1))
        told = 0.0
        for cell in range(len(self.centres)):
            members = self.members[self.starts[cell] : self.starts[cell + 1]]
            own = torch.from_numpy(self.references[members])
            asking = by_cell[bounds[cell] : bounds[cell + 1]]
            for first in range(0, len(asking), _ROWS):
                rows, ranks = np.divmod(asking[first : first + _ROWS], probed)
                similarity = torch.from_numpy(queries[rows]) @ own.T
                is_own = torch.from_numpy(members[None] == (start + rows)[:, None])
                similarity[is_own] = -torch.inf
                best = similarity.topk(min(count, len(members)), dim=1)
                kept = best.values.shape[1]
                values[rows, ranks, :kept] = best.values.numpy()
                places[rows, ranks, :kept] = members[best.indices.numpy()]
            told = _tell(on_rows, told, len(asking) / probed)
        flat = torch.from_numpy(values.reshape(len(queries), -1))
        best = flat.topk(count, dim=1)
        indices = np.take_along_axis(places.reshape(len(queries), -1), best.indices.numpy(), 1)
        is_none = torch.isneginf(best.values).numpy()
        indices[is_none] = np.broadcast_to(indices[:, :1], indices.shape)[is_none]
        return indices, best.values.numpy()


def _tell(on_rows: Callable[[int], None] | None, told: float, rows: float) -> float:
    """Tell whole rows; give what is left."""
    whole = int(told + rows + 1e-6)
    if on_rows is not None and whole:
        on_rows(whole)
    return told + rows - whole


def _centres(
    references: Vectors, members: npt.NDArray[np.int64], generator: np.random.Generator
) -> Tensor:
    """Find centres by k-means on the sphere, on a sample."""
    count = max(2, round(len(members) / _CELL))
    drawn = generator.choice(members, min(len(members), _SAMPLE * count), replace=False)
    sample = torch.from_numpy(references[np.sort(drawn)])
    centres = sample[torch.from_numpy(generator.choice(len(sample), count, replace=False))]
    for _ in range(_ROUNDS):
        own = (sample @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, own, sample)
        length = sums.norm(dim=1, keepdim=True)
        centres = torch.where(length > 1e-6, sums / length.clamp(min=1e-6), centres)
    return centres


def _most_like(
    vectors: Vectors, rows: npt.NDArray[np.int64], centres: Tensor, count: int
) -> npt.NDArray[np.int64]:
    """Give the centres most like each row, shape (rows, count)."""
    parts = [
        (torch.from_numpy(vectors[rows[first : first + _ROWS]]) @ centres.T)
        .topk(count, dim=1)
        .indices.numpy()
        for first in range(0, len(rows), _ROWS)
    ]
    result: npt.NDArray[np.int64] = np.concatenate(parts)
    return result
