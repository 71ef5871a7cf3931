from __future__ import annotations

import numpy as np
import pytest

from tenfold.data import descriptors
from tenfold.data.descriptors import nearest


@pytest.mark.parametrize(("total", "count"), [(1, 2), (2, 3), (15, 2), (16, 3), (17, 4), (300, 5)])
def test_finds_what_the_whole_matrix_shows(
    monkeypatch: pytest.MonkeyPatch, total: int, count: int
) -> None:
    monkeypatch.setattr(descriptors, "_ROWS", 7)
    monkeypatch.setattr(descriptors, "_COLUMNS", 32)
    rng = np.random.default_rng(total)
    vectors = rng.normal(size=(total, 6)).astype(np.float32) - 1  # also all negative products
    other = rng.normal(size=(total, 6)).astype(np.float32)
    products = vectors @ other.T
    np.fill_diagonal(products, -np.inf)
    seen: list[int] = []
    indices, similarities = nearest(vectors, other, count, on_rows=seen.append)
    expected = np.sort(products, axis=1)[:, ::-1][:, : min(count, total - 1)]
    np.testing.assert_allclose(similarities, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        np.take_along_axis(products, indices, axis=1), expected, rtol=1e-5, atol=1e-5
    )
    assert sum(seen) == total


def test_queries_may_be_the_last_images() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    whole, _ = nearest(vectors, vectors, 3)
    last, _ = nearest(vectors[40:], vectors, 3, start=40)
    np.testing.assert_array_equal(last, whole[40:])


def test_the_whole_matrix_is_never_there(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    original = descriptors._largest_of_groups

    def watch(rows: object, *rest: object) -> object:
        nonlocal largest
        result = original(rows, *rest)  # type: ignore[arg-type]
        largest = max(largest, result.numel())
        return result

    monkeypatch.setattr(descriptors, "_largest_of_groups", watch)
    vectors = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    nearest(vectors, vectors, 1)
    assert largest <= 512 * 2000 / 16


def test_features_by_blocks_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(300, 20)) * np.arange(1, 21) + 50).astype(np.float32)
    others = features[-7:] + 1
    for wide in (False, True):
        monkeypatch.setattr(descriptors, "_PROJECTED", 8 if wide else 512)
        monkeypatch.setattr(descriptors, "_FEATURE_DIMENSIONS", 6)
        monkeypatch.setattr(descriptors, "_WHOLE_ROWS", 20_000)
        whole = descriptors.feature_descriptors(features, others)
        monkeypatch.setattr(descriptors, "_WHOLE_ROWS", 100)
        monkeypatch.setattr(descriptors, "_BLOCK", 64)
        by_blocks = descriptors.feature_descriptors(features, others)
        for one, other in zip(whole, by_blocks, strict=True):
            products = one @ one.T  # whatever sign an axis has
            np.testing.assert_allclose(other @ other.T, products, atol=1e-4)
