"""Neighbours among many: those that the whole matrix shows, but for few, in linear time."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.data import neighbour_cells
from tenfold.data.descriptors import Vectors, nearest
from tenfold.data.neighbour_cells import nearest_of_many


@pytest.fixture(autouse=True)
def _small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_cells, "_CELL", 64)
    monkeypatch.setattr(neighbour_cells, "_LARGEST_CELL", 256)


def clustered(count: int) -> Vectors:
    """Give unit vectors around some centres, and of each a near-copy behind all of them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    vectors = centres[rng.integers(0, 40, count)] + rng.normal(0, 0.7, (count, 16))
    both = np.concatenate([vectors, vectors + rng.normal(0, 0.15, vectors.shape)])
    unit: Vectors = (both / np.linalg.norm(both, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_few_are_compared_with_all() -> None:
    vectors = clustered(200)
    for found, expected in zip(
        nearest_of_many(vectors, vectors, 2), nearest(vectors, vectors, 2), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("start", [0, 3000])
def test_nearly_all_near_ones_are_found_among_many(start: int) -> None:
    vectors = clustered(2000)
    seen: list[int] = []
    queries = vectors[start:]
    found, similarity = nearest_of_many(
        queries, vectors, 2, start=start, on_rows=seen.append, most_exact=100
    )
    expected, best = nearest(queries, vectors, 2, start=start)
    is_near = best[:, 0] > 0.8
    assert is_near.mean() > 0.9
    assert (found[:, 0] == expected[:, 0])[is_near].mean() > 0.97
    products = np.einsum("qd,qkd->qk", queries, vectors[found])
    np.testing.assert_allclose(similarity, products, atol=1e-5)
    assert (found != start + np.arange(len(queries))[:, None]).all()
    assert sum(seen) == len(queries)


def test_no_cell_is_large_where_all_is_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    original = neighbour_cells._Cells.of

    def watched(references: Vectors) -> neighbour_cells._Cells:
        nonlocal largest
        cells = original(references)
        largest = int(np.diff(cells.starts).max())
        assert sorted(cells.members.tolist()) == list(range(len(references)))
        return cells

    monkeypatch.setattr(neighbour_cells._Cells, "of", watched)
    vectors = np.tile(clustered(1)[:1], (1500, 1))
    indices, similarity = nearest_of_many(vectors, vectors, 2, most_exact=100)
    assert largest == 256
    np.testing.assert_allclose(similarity, 1, atol=1e-5)
    assert (indices != np.arange(1500)[:, None]).all()
