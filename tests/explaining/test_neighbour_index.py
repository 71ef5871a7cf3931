"""The training images that a model folder keeps to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from tenfold.core.errors import ModelFolderError
from tenfold.evaluation.explanations import (
    MOST_BYTES,
    NeighbourIndex,
    images_that_fit,
    thumbnails_of,
)

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(5, 1, (20, 6)).astype(np.float32)
IMAGES = RNG.integers(0, 256, (20, 4, 4, 3), np.uint8)
LABELS = np.arange(20) % 3
INDEX = NeighbourIndex.build(FEATURES, IMAGES, LABELS, np.arange(20) * 10)


def test_an_image_is_its_own_nearest() -> None:
    rows, similarities = INDEX.nearest(FEATURES, 3)
    assert rows.shape == (20, 3)
    assert (rows[:, 0] == np.arange(20)).all()
    assert similarities[:, 0] == pytest.approx(1, abs=1e-3)
    assert (np.diff(similarities, axis=1) <= 0).all()


def test_similarity_is_the_cosine_after_centring() -> None:
    centred = FEATURES - FEATURES.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    rows, similarities = INDEX.nearest(FEATURES[:4], 20)
    expected = np.take_along_axis(centred[:4] @ centred.T, rows, axis=1)
    np.testing.assert_allclose(similarities, expected, atol=2e-3)  # stored as float16


def test_it_comes_back_from_its_bytes() -> None:
    read = NeighbourIndex.from_bytes(INDEX.to_bytes(), 3)
    for name in ("mean", "features", "labels", "places", "thumbnails"):
        np.testing.assert_array_equal(getattr(read, name), getattr(INDEX, name))
    assert len(read) == 20


def arrays(**changes: Any) -> bytes:
    whole = {
        name: getattr(INDEX, name)
        for name in ("mean", "features", "labels", "places", "thumbnails")
    }
    return save({name: np.ascontiguousarray(value) for name, value in (whole | changes).items()})


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": LABELS + 1},
        {"labels": LABELS - 1},
        {"labels": LABELS[:5]},
        {"places": np.zeros(20, np.float32)},
        {"thumbnails": IMAGES[:, :, :, :2]},
        {"thumbnails": IMAGES[:, :, :, 0]},
        {"mean": np.zeros(5, np.float32)},
        {"features": np.zeros(5, np.float16)},
        {"another": np.zeros(5, np.float16)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelFolderError, match="index of training images cannot be used"):
        NeighbourIndex.from_bytes(arrays(**changes), 3)


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_with_one_error(content: bytes) -> None:
    with pytest.raises(ModelFolderError, match="index of training images cannot be used"):
        NeighbourIndex.from_bytes(content, 3)


@pytest.mark.parametrize("shape", [(32, 32, 3), (224, 224, 3), (4000, 3000, 3), (8, 8, 1)])
@pytest.mark.parametrize("dimensions", [10, 2048])
def test_it_stays_small(shape: tuple[int, int, int], dimensions: int) -> None:
    count = images_that_fit(shape, dimensions, 5000)
    assert 1000 <= count <= 5000
    thumbnail = thumbnails_of(np.zeros((1, *shape), np.uint8))[0]
    assert count * (thumbnail.size + 2 * dimensions + 16) <= MOST_BYTES


def test_large_images_are_scaled_and_small_ones_kept() -> None:
    assert thumbnails_of(IMAGES) is IMAGES
    assert thumbnails_of(np.zeros((2, 100, 80, 1), np.uint8)).shape == (2, 64, 64, 1)
