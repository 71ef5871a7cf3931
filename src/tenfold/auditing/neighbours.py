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
    start: int = 0,
    on_rows: Callable[[int], None] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Give each query's most similar references by scalar product, its own row left out.

    Exact: the largest similarity of each group of 16 references is kept, and the `count` groups
    with the largest ones hold the `count` best references. Time is N² × dimensions; memory grows
    with N × N / 16 of one block of rows alone.

    Parameters
    ----------
    queries, references
        float32, shapes (M, dimensions) and (N, dimensions).
    count
        Neighbours of each; fewer where there are not so many images.
    start
        Query i is about the same image as reference start + i.
    on_rows
        Told the number of rows of each block that is done.

    Returns
    -------
    indices
        int64, shape (M, count), the most similar first.
    similarities
        float32, of the same shape.
    """
    assert start + len(queries) <= len(references)
    total = len(references)
    count = min(count, max(total - 1, 0))
    padding = -total % _GROUP
    padded = torch.from_numpy(np.pad(references, ((0, padding), (0, 0))))
    transposed = padded.T.contiguous()
    indices = np.empty((len(queries), count), np.int64)
    similarities = np.empty((len(queries), count), np.float32)
    for first in range(0, len(queries), _ROWS):
        rows = torch.from_numpy(np.ascontiguousarray(queries[first : first + _ROWS]))
        own = start + torch.arange(first, first + len(rows))
        best = _largest_of_groups(rows, transposed, own, total)
        groups = best.topk(min(count, best.shape[1]), dim=1).indices
        members = (groups[:, :, None] * _GROUP + torch.arange(_GROUP)).flatten(1)  # (B, count × 16)
        exact = torch.einsum("bd,bmd->bm", rows, padded[members])
        exact[(members == own[:, None]) | (members >= total)] = -torch.inf
        values, places = exact.topk(count, dim=1)
        indices[first : first + _ROWS] = members.gather(1, places).numpy()
        similarities[first : first + _ROWS] = values.numpy()
        if on_rows is not None:
            on_rows(len(rows))
    return indices, similarities


def _largest_of_groups(rows: Tensor, transposed: Tensor, own: Tensor, total: int) -> Tensor:
    """Give the largest similarity in each group of references, shape (B, N / 16)."""
    parts = []
    for first in range(0, transposed.shape[1], _COLUMNS):
        similarities = rows @ transposed[:, first : first + _COLUMNS]
        place = own - first
        inside = (place >= 0) & (place < similarities.shape[1])
        similarities[inside.nonzero()[:, 0], place[inside]] = -torch.inf
        similarities[:, max(total - first, 0) :] = -torch.inf  # the padding
        parts.append(similarities.view(len(rows), -1, _GROUP).amax(2))
    return torch.cat(parts, dim=1)
