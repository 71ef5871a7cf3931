"""Features are computed once an image, whatever asks for them, and survive a kill on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tenfold.data.dataset import Images
from tenfold.training import feature_store as module
from tenfold.training.feature_store import FeatureStore, feature_store, image_digests


class Counter:
    """Computes features, and counts how many."""

    def __init__(self) -> None:
        self.computed = 0

    def __call__(self, images: Images) -> Tensor:
        self.computed += len(images)
        return torch.from_numpy(images.reshape(len(images), -1)[:, :3].astype(np.float32))


@pytest.fixture
def images() -> Images:
    return np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)


def expected(images: Images) -> Tensor:
    return torch.from_numpy(images.reshape(len(images), -1)[:, :3].astype(np.float32))


def test_an_image_is_computed_once_in_whatever_order(images: Images) -> None:
    store, count = FeatureStore(), Counter()
    assert torch.equal(store.features("a", images[:8], count), expected(images[:8]))
    assert torch.equal(store.features("a", images[::-1], count), expected(images[::-1]))
    assert count.computed == 12


def test_the_same_image_twice_is_computed_once(images: Images) -> None:
    store, count = FeatureStore(), Counter()
    twice = np.concatenate((images[:3], images[:3]))
    assert torch.equal(store.features("a", twice, count), expected(twice))
    assert count.computed == 3


def test_another_backbone_forgets(images: Images) -> None:
    store, count = FeatureStore(), Counter()
    for key in ("a", "b", "a"):
        store.features(key, images, count)
    assert count.computed == 36


def test_what_does_not_fit_is_given_but_not_remembered(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_IMAGES", 4)
    store, count = FeatureStore(limit_bytes=2 * 4 * 3 * 4), Counter()
    assert torch.equal(store.features("a", images, count), expected(images))
    assert torch.equal(store.features("a", images, count), expected(images))
    assert count.computed == 12 + 4


def test_a_killed_computation_goes_on_from_the_folder(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_IMAGES", 5)
    count = Counter()

    def killed(block: Images) -> Tensor:
        if count.computed == 10:
            raise KeyboardInterrupt
        return count(block)

    with pytest.raises(KeyboardInterrupt):
        FeatureStore().features("a", images, killed, folder=tmp_path)
    told: list[int] = []
    features = FeatureStore().features("a", images, count, folder=tmp_path, on_images=told.append)
    assert torch.equal(features, expected(images))
    assert count.computed == 12
    assert told == [10, 2]


def test_damaged_and_other_files_are_not_used(images: Images, tmp_path: Path) -> None:
    FeatureStore().features("a", images, Counter(), folder=tmp_path)
    count = Counter()
    FeatureStore().features("b", images, count, folder=tmp_path)
    assert count.computed == 12
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    FeatureStore().features("a", images, count, folder=tmp_path)
    assert count.computed == 24


def test_a_digest_is_of_pixels_and_shape() -> None:
    wide, high = np.zeros((1, 2, 8, 1), np.uint8), np.zeros((1, 8, 2, 1), np.uint8)
    assert image_digests(wide) != image_digests(high)
    assert image_digests(wide) == image_digests(wide.copy())


def test_a_process_has_one_store() -> None:
    assert feature_store() is feature_store()
