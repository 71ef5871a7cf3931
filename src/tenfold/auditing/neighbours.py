"""Nearest neighbours by blocks of matrix products; no N × N matrix is ever there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_ROWS = 512
_COLUMNS = 8192  # a block of 512 × 8192 float32 similarities is 16 MiB: it stays in a large cache
_GROUP = 16


@torch.inference_mode()
def nearest(
    queries: npt.NDArray[np.float32],
    references: npt.NDArray[np.float32],
    count: int,
    *,
    on_rows: Callable[[int], None] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Give each query's most similar references by scalar product, its own row left out.

    Exact: the largest similarity of each group of 16 references is kept, and the `count` groups
    with the largest ones hold the `count` best references. Time is N² × dimensions; memory grows
    with N × N / 16 of one block of rows alone.

    Parameters
    ----------
    queries, references
        float32, shape (N, dimensions): row i of both is about image i.
    count
        Neighbours of each; fewer where there are not so many images.
    on_rows
        Told the number of rows of each block that is done.

    Returns
    -------
    indices
        int64, shape (N, count), the most similar first.
    similarities
        float32, of the same shape.
    """
    assert queries.shape == references.shape
    total = len(references)
    count = min(count, max(total - 1, 0))
    padding = -total % _GROUP
    padded = torch.from_numpy(np.pad(references, ((0, padding), (0, 0))))
    transposed = padded.T.contiguous()
    indices = np.empty((total, count), np.int64)
    similarities = np.empty((total, count), np.float32)
    for start in range(0, total, _ROWS):
        rows = torch.from_numpy(np.ascontiguousarray(queries[start : start + _ROWS]))
        found = _nearest_of_rows(rows, padded, transposed, count, start, total)
        indices[start : start + _ROWS], similarities[start : start + _ROWS] = (
            part.numpy() for part in found
        )
        if on_rows is not None:
            on_rows(len(rows))
    return indices, similarities


def _nearest_of_rows(
    rows: Tensor, padded: Tensor, transposed: Tensor, count: int, start: int, total: int
) -> tuple[Tensor, Tensor]:
    own = torch.arange(start, start + len(rows))
    largest = torch.cat(
        [
            _largest_of_groups(rows @ transposed[:, first : first + _COLUMNS], own - first)
            for first in range(0, len(padded), _COLUMNS)
        ],
        dim=1,
    )  # (B, N / 16)
    groups = largest.topk(min(count, largest.shape[1]), dim=1).indices
    members = (groups[:, :, None] * _GROUP + torch.arange(_GROUP)).flatten(1)  # (B, count × 16)
    exact = torch.einsum("bd,bmd->bm", rows, padded[members])
    exact[(members == own[:, None]) | (members >= total)] = -torch.inf
    values, places = exact.topk(count, dim=1)
    return members.gather(1, places), values


def _largest_of_groups(similarities: Tensor, own: Tensor) -> Tensor:
    inside = (own >= 0) & (own < similarities.shape[1])
    similarities[inside.nonzero()[:, 0], own[inside]] = -torch.inf
    return similarities.unflatten(1, (-1, _GROUP)).amax(2)
