"""Features are computed once an image, whatever asks for them, and survive a kill on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tenfold.data.dataset import Images
from tenfold.data.feature_rows import StoredFeatures
from tenfold.training import feature_store as module
from tenfold.training.feature_store import FeatureStore, feature_store, image_digests
from tenfold.training.tensors import read_tensors, write_tensors


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


def test_backbones_have_their_own_features_and_the_other_one_is_forgotten_first(
    images: Images,
) -> None:
    store, count = FeatureStore(), Counter()
    for key in ("a", "b", "a"):
        store.features(key, images, count)
    assert count.computed == 24
    small, count = FeatureStore(limit_bytes=12 * 3 * 4), Counter()
    for key in ("a", "b", "b", "a"):
        small.features(key, images, count)
    assert count.computed == 36


def test_images_that_do_not_come_again_are_not_remembered(images: Images, tmp_path: Path) -> None:
    store, count = FeatureStore(), Counter()
    for _ in range(2):
        store.features("a", images, count, is_remembered=False)
    assert count.computed == 24
    with store.kept_in(tmp_path):  # but a kill costs no work
        for _ in range(2):
            store.features("a", images, count, is_remembered=False)
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

    store = FeatureStore()
    with pytest.raises(KeyboardInterrupt), store.kept_in(tmp_path):
        store.features("a", images, killed)
    told: list[int] = []
    other = FeatureStore()
    with other.kept_in(tmp_path):
        features = other.features("a", images, count, on_images=told.append)
    assert torch.equal(features, expected(images))
    assert count.computed == 12
    assert told == [10, 2]


def computed_anew(folder: Path, images: Images, key: str = "a", **limits: int) -> int:
    """Give how many images another process computes."""
    store, count = FeatureStore(**limits), Counter()
    with store.kept_in(folder):
        assert torch.equal(store.features(key, images, count), expected(images))
    return count.computed


def test_damaged_and_other_files_are_not_used(images: Images, tmp_path: Path) -> None:
    assert computed_anew(tmp_path, images) == 12
    assert computed_anew(tmp_path, images, "b") == 12
    assert computed_anew(tmp_path, images) == 0
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    assert computed_anew(tmp_path, images) == 12
    assert computed_anew(tmp_path, images) == 0
    shutil.rmtree(tmp_path)
    assert computed_anew(tmp_path, images) == 12


def test_files_that_hold_something_else_are_not_used(images: Images, tmp_path: Path) -> None:
    computed_anew(tmp_path, images)
    [path] = tmp_path.iterdir()
    tensors, metadata = read_tensors(path, torch.device("cpu"))
    flat = {"digests": tensors["digests"], "features": tensors["features"].flatten()}
    for changed, key in ((flat, "a"), ({"digests": tensors["digests"]}, "a"), (tensors, "b")):
        write_tensors(path, changed, {**metadata, "key": key})
        assert computed_anew(tmp_path, images) == 12


def test_an_outer_folder_is_read_and_the_inner_one_written(images: Images, tmp_path: Path) -> None:
    store, count = FeatureStore(), Counter()
    with store.kept_in(tmp_path / "outer"):
        store.features("a", images[:6], count, is_remembered=False)
        with store.kept_in(tmp_path / "inner"):
            store.features("a", images, count, is_remembered=False)
    assert count.computed == 12
    assert computed_anew(tmp_path / "outer", images) == 6
    assert computed_anew(tmp_path / "inner", images) == 6


def test_a_folder_stays_small(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_IMAGES", 3)
    computed_anew(tmp_path, images[:6])
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    for key in ("b", "a", "b"):
        computed_anew(tmp_path, images, key, folder_limit_bytes=size)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= size + 200
    assert 0 < computed_anew(tmp_path, images, "b", folder_limit_bytes=size) < 12


def test_a_digest_is_of_pixels_and_shape() -> None:
    wide, high = np.zeros((1, 2, 8, 1), np.uint8), np.zeros((1, 8, 2, 1), np.uint8)
    assert image_digests(wide) != image_digests(high)
    assert image_digests(wide) == image_digests(wide.copy())


def test_a_process_has_one_store() -> None:
    assert feature_store() is feature_store()


def test_what_is_too_large_for_a_tensor_lies_in_a_file(images: Images, tmp_path: Path) -> None:
    count, store = Counter(), FeatureStore()
    twice = np.concatenate((images, images[:3]))
    with store.kept_in(tmp_path):
        for _ in range(2):
            given = store.features("a", twice, count, most_bytes=15 * 3 * 4 - 1)
            assert isinstance(given, StoredFeatures)
            assert torch.equal(given[:], expected(twice))
        given = FeatureStore().features("a", twice, count, most_bytes=15 * 3 * 4)
        assert isinstance(given, Tensor)
    assert count.computed == 24


def test_beside_a_folder_the_process_remembers_less(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMIT_BESIDE_FOLDER_BYTES", 4 * 3 * 4)
    monkeypatch.setattr(module, "BLOCK_IMAGES", 4)
    store, count = FeatureStore(), Counter()
    with store.kept_in(tmp_path):
        store.features("a", images, count)
        store.features("a", images, count)
    assert count.computed == 12  # the folder has the others
    store.features("a", images, count, is_remembered=False)
    assert count.computed == 12 + 8
