"""Features that lie in a file are what they would be in the memory, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tenfold.data.feature_rows import (
    Features,
    NewFeatures,
    StoredFeatures,
    joined_features,
)


def rows(count: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed)).to(dtype)


def made(values: Tensor, most_bytes: int, folder: Path) -> Features:
    """Put rows in a random order, some at a time."""
    room = NewFeatures(len(values), most_bytes, folder)
    order = np.random.default_rng(0).permutation(len(values))
    for places in np.array_split(order, 3):
        room.put(places, values[torch.from_numpy(places)])
    return room.finished()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_come_as_they_went(tmp_path: Path, dtype: torch.dtype) -> None:
    values = rows(20, dtype)
    in_memory, stored = made(values, 2**20, tmp_path), made(values, 0, tmp_path)
    assert isinstance(in_memory, Tensor)
    assert torch.equal(in_memory, values)
    assert isinstance(stored, StoredFeatures)
    assert stored.shape == (20, 5)
    assert stored.dtype == dtype
    index = torch.tensor([3, 3, 19, 0])
    for key in (slice(None), slice(4, 9), slice(1, 20, 7), index, slice(30, 40)):
        assert torch.equal(stored[key], values[key])
    assert list(tmp_path.iterdir()) == []  # nothing that a kill could leave behind


def test_parts_are_joined_and_cut(tmp_path: Path) -> None:
    parts = [rows(4, seed=1), rows(6, seed=2), rows(3, seed=3)]
    whole = torch.cat(parts)
    assert torch.equal(joined_features(parts)[:], whole)
    joined = joined_features([made(parts[0], 0, tmp_path), parts[1], made(parts[2], 0, tmp_path)])
    assert isinstance(joined, StoredFeatures)
    index = np.array([12, 0, 5, 4])
    assert torch.equal(joined[index], whole[index])
    for count in (0, 3, 4, 7, 13):
        assert torch.equal(joined.first(count)[:], whole[:count])
        assert len(joined.first(count)) == count
