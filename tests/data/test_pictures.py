"""Encoded pictures in one file: what was put in comes out, whoever decodes it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError, RunFolderError
from tenfold.data.dataset import ImageSplit, read_split, write_split
from tenfold.data.images.decoding import decode_image
from tenfold.data.pictures import EncodedPictures
from tenfold.data.store import StoredImages, in_memory

COUNT, SHAPE = 30, (8, 8, 3)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    paths = []
    for number in range(COUNT):
        size = (*generator.integers(9, 30, 2).tolist(), 3)
        path = tmp_path / f"{number}.{('png', 'jpg', 'webp')[number % 3]}"
        Image.fromarray(generator.integers(0, 256, size, np.uint8)).save(path)
        paths.append(path)
    return paths


@pytest.fixture
def split(files: list[Path]) -> ImageSplit:
    images = StoredImages(SHAPE, COUNT, None, EncodedPictures(files))
    return ImageSplit(images, np.arange(COUNT) % 2)


@pytest.fixture
def stored(split: ImageSplit, tmp_path: Path) -> StoredImages:
    write_split(tmp_path / "run", "train", split)
    images = read_split(tmp_path / "run", "train").images
    assert isinstance(images, StoredImages)
    return images


def test_files_come_back_byte_for_byte(files: list[Path], stored: StoredImages) -> None:
    assert [content for content, _ in stored.encoded()] == [file.read_bytes() for file in files]
    assert [suffix for _, suffix in stored.encoded()] == [file.suffix for file in files]


def test_rows_are_decoded_as_files_are(files: list[Path], stored: StoredImages) -> None:
    wanted = np.stack([decode_image(file, SHAPE, is_resized=True) for file in files])
    np.testing.assert_array_equal(in_memory(stored), wanted)
    np.testing.assert_array_equal(stored[[7, 0, 7]], wanted[[7, 0, 7]])
    batches = [np.array([3, 29]), np.array([], np.int64), np.arange(20)]
    for found, rows in zip(stored.batches(iter(batches)), batches, strict=True):
        np.testing.assert_array_equal(found, wanted[rows])


def test_another_size_is_made_of_the_picture(files: list[Path], stored: StoredImages) -> None:
    other = stored.at_size(5).rows([4, 11])
    wanted = [decode_image(files[row], (5, 5, 3), is_resized=True) for row in (4, 11)]
    np.testing.assert_array_equal(other[:], np.stack(wanted))


def test_whole_pictures_keep_their_size(files: list[Path], stored: StoredImages) -> None:
    pictures = stored.whole_pictures([6, 2])
    for picture, path in zip(pictures, (files[6], files[2]), strict=True):
        with Image.open(path) as image:
            assert picture.shape == (image.height, image.width, 3)
            np.testing.assert_array_equal(picture, np.asarray(image.convert("RGB")))


def test_whole_pictures_of_a_camera_are_made_smaller(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (90, 60), "red").save(path)
    images = StoredImages((10, 10, 3), 1, None, EncodedPictures([path]))
    assert [picture.shape for picture in images.whole_pictures([0])] == [(40, 60, 3)]


def test_another_process_decodes_the_same(stored: StoredImages) -> None:
    again: StoredImages = pickle.loads(pickle.dumps(stored))
    np.testing.assert_array_equal(again[:4], stored[:4])


def test_many_batches_are_one_file(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.data.pictures._BATCH_ROWS", 4)
    images = StoredImages(SHAPE, COUNT, None, EncodedPictures(files)).rows(np.arange(COUNT)[::-1])
    write_split(tmp_path / "run", "test", ImageSplit(images, np.zeros(COUNT, np.int64)))
    again = read_split(tmp_path / "run", "test").images
    assert isinstance(again, StoredImages)
    assert [*again.encoded()] == [*images.encoded()]


@pytest.mark.parametrize("damage", [lambda content: content[:50], lambda _: b"no Arrow file"])
def test_a_damaged_file_is_an_error(damage, stored: StoredImages, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "run" / "train_pictures.arrow"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunFolderError, match=r"train_pictures\.arrow cannot be read"):
        read_split(tmp_path / "run", "train")


def test_another_arrow_file_is_an_error(tmp_path: Path, split: ImageSplit) -> None:
    import pyarrow as pa

    write_split(tmp_path, "train", split)
    table = pa.table({"bytes": pa.array([b"1"], pa.large_binary())})
    with pa.ipc.new_file(str(tmp_path / "train_pictures.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(RunFolderError, match="no pictures"):
        read_split(tmp_path, "train")


def test_a_picture_that_went_meanwhile_is_named(files: list[Path], split: ImageSplit) -> None:
    files[3].unlink()
    with pytest.raises(DataError, match=r"3\.png"):
        in_memory(split.images)
