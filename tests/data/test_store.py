"""Stored images give what an array of them would, and read no more than is asked for."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.errors import RunFolderError
from tenfold.data.dataset import ImageSplit, read_split, write_split
from tenfold.data.images.pillow import resize_images
from tenfold.data.splits import exact_groups
from tenfold.data.statistics import pixel_statistics
from tenfold.data.store import (
    StoredImages,
    image_blocks,
    images_at_size,
    in_memory,
    some_images,
    whole_pictures,
)
from tenfold.training.inference import mirrored

PIXELS = np.random.default_rng(3).integers(0, 256, (40, 5, 6, 3), dtype=np.uint8)


@pytest.fixture
def stored(tmp_path: Path) -> StoredImages:
    write_split(tmp_path, "train", ImageSplit(PIXELS, np.arange(40) % 4))
    images = read_split(tmp_path, "train").images
    assert isinstance(images, StoredImages)
    return images


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        np.int64(7),
        slice(None),
        slice(5, 2),
        slice(2, 30, 7),
        slice(None, None, -3),
        np.array([], np.int64),
        [4, 5, 6, 2, 2, -1],
        np.array([39, 0, 1, 2, 38]),
        np.arange(40) % 3 == 0,
    ],
)
def test_an_index_gives_what_an_array_gives(key: object, stored: StoredImages) -> None:
    np.testing.assert_array_equal(stored[key], PIXELS[key])  # type: ignore[index]


@pytest.mark.parametrize("key", [40, -41, [0, 40], np.ones(39, bool)])
def test_an_image_that_is_not_there_is_an_error(key: object, stored: StoredImages) -> None:
    with pytest.raises(IndexError):
        stored[key]  # type: ignore[index]


def test_rows_of_rows_are_those(stored: StoredImages) -> None:
    some = stored.rows(np.arange(40) % 2 == 1).rows([4, 0, -1])
    assert some.shape == (3, 5, 6, 3)
    np.testing.assert_array_equal(in_memory(some), PIXELS[[9, 1, 39]])
    np.testing.assert_array_equal(some[np.array([True, False, True])], PIXELS[[9, 39]])


@pytest.mark.parametrize("block", [1, 7, 40, None])
def test_blocks_are_all_images(block: int | None, stored: StoredImages) -> None:
    for images in (stored, PIXELS):
        np.testing.assert_array_equal(np.concatenate([*image_blocks(images, block)]), PIXELS)
    np.testing.assert_array_equal(np.stack([*stored]), PIXELS)


def test_another_process_reads_the_same(stored: StoredImages) -> None:
    again: StoredImages = pickle.loads(pickle.dumps(mirrored(stored)))
    np.testing.assert_array_equal(again[:], PIXELS[:, :, ::-1])


def test_changes_go_with_rows(stored: StoredImages) -> None:
    turned = some_images(mirrored(some_images(stored, np.array([8, 3]))), np.array([1]))
    np.testing.assert_array_equal(np.asarray(turned), PIXELS[[3]][:, :, ::-1])


def test_another_size_is_that_of_the_array(stored: StoredImages) -> None:
    other = images_at_size(stored, 4)
    assert other.shape == (40, 4, 4, 3)
    np.testing.assert_array_equal(in_memory(other), resize_images(PIXELS, 4))
    np.testing.assert_array_equal(images_at_size(PIXELS, 4), resize_images(PIXELS, 4))


def test_without_pictures_the_pixels_are_the_pictures(stored: StoredImages) -> None:
    for images in (stored, PIXELS):
        for picture, wanted in zip(whole_pictures(images, [5, 2]), PIXELS[[5, 2]], strict=True):
            np.testing.assert_array_equal(picture, wanted)


def test_digests_groups_and_statistics_are_those_of_the_array(stored: StoredImages) -> None:
    labels = np.arange(40) % 4
    assert ImageSplit(stored, labels).sha256() == ImageSplit(PIXELS, labels).sha256()
    assert (exact_groups(stored) == exact_groups(PIXELS)).all()
    assert pixel_statistics(stored, labels, 4) == pixel_statistics(PIXELS, labels, 4)


def test_a_file_is_what_numpy_writes(tmp_path: Path, stored: StoredImages) -> None:
    np.save(tmp_path / "saved.npy", PIXELS)
    assert (tmp_path / "train_images.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_a_file_that_was_cut_meanwhile_is_an_error(tmp_path: Path, stored: StoredImages) -> None:
    path = tmp_path / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(stored[:39], PIXELS[:39])
    with pytest.raises(RunFolderError, match="ends too early"):
        stored[39]
