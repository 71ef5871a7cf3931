from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import RunFolderError
from tenfold.core.records.data import LeftOutImage
from tenfold.data.dataset import (
    ImageDataset,
    ImageSplit,
    read_arrays,
    read_split,
    read_validation,
    write_array,
    write_arrays,
    write_corrected,
    write_split,
    write_validation,
)


def test_names_that_are_no_text_are_made_text() -> None:
    name = os.fsdecode(b"caf\xe9")
    split = ImageSplit(np.zeros((2, 4, 4, 1), np.uint8), np.arange(2))
    dataset = ImageDataset(
        source="folder",
        location=f"/data/{name}",
        title=name,
        description="",
        classes=(name, "café"),
        train=split,
        test=split,
        split_note="",
        left_out=(LeftOutImage(path=name, reason="broken"),),
        notes=(name,),
    )
    assert dataset.classes == (r"caf\xe9", "café")
    assert dataset.location == r"/data/caf\xe9"
    assert (dataset.title, dataset.notes[0], dataset.left_out[0].path) == (r"caf\xe9",) * 3


def test_take_gives_a_copy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 2, 2, 1), np.uint8)
    split = ImageSplit(images, np.arange(4))
    some = split.take(np.array([3, 0]))
    np.testing.assert_array_equal(some.images, split.images[[3, 0]])
    np.testing.assert_array_equal(some.labels, split.labels[[3, 0]])
    assert not np.shares_memory(some.images, split.images)


@pytest.fixture
def split() -> ImageSplit:
    rng = np.random.default_rng(0)
    return ImageSplit(rng.integers(0, 256, (5, 4, 3, 3), dtype=np.uint8), np.arange(5) % 2)


def test_a_split_comes_back(split: ImageSplit, tmp_path: Path) -> None:
    write_split(tmp_path, "train", split)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "train_images.npy",
        "train_labels.npy",
    ]
    again = read_split(tmp_path, "train")
    assert again.sha256() == split.sha256()
    assert again.images[:].flags.writeable, "torch warns of arrays that it cannot write to"


def test_the_splits_do_not_meet(split: ImageSplit, tmp_path: Path) -> None:
    write_split(tmp_path, "train", split)
    with pytest.raises(RunFolderError, match=r"test_images\.npy cannot be read"):
        read_split(tmp_path, "test")


def test_a_view_is_written_as_it_looks(split: ImageSplit, tmp_path: Path) -> None:
    view = ImageSplit(split.images[::2, :, ::-1], split.labels[::2])
    write_split(tmp_path, "test", view)
    np.testing.assert_array_equal(read_split(tmp_path, "test").images, view.images)


def test_an_empty_split_comes_back(tmp_path: Path) -> None:
    empty = ImageSplit(np.zeros((0, 4, 4, 1), np.uint8), np.zeros(0, np.int64))
    write_split(tmp_path, "test", empty)
    assert read_split(tmp_path, "test").images.shape == (0, 4, 4, 1)


def test_labels_of_another_whole_type_are_taken(split: ImageSplit, tmp_path: Path) -> None:
    write_split(tmp_path, "train", split)
    write_array(tmp_path / "train_labels.npy", split.labels.astype(np.uint8))
    again = read_split(tmp_path, "train")
    assert again.labels.dtype == np.int64
    np.testing.assert_array_equal(again.labels, split.labels)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((5, 4, 3, 3), np.float32),
        np.zeros((5, 4, 3), np.uint8),
        np.zeros((4, 4, 3, 3), np.uint8),
    ],
    ids=["float", "three dimensions", "another count"],
)
def test_arrays_that_do_not_fit_are_refused(
    images: np.ndarray, split: ImageSplit, tmp_path: Path
) -> None:
    write_split(tmp_path, "train", split)
    write_array(tmp_path / "train_images.npy", images)
    with pytest.raises(RunFolderError, match="images and labels that fit each other") as caught:
        read_split(tmp_path, "train")
    assert f"images {images.dtype} {images.shape}, labels int64 (5,)" in str(caught.value)


@pytest.mark.parametrize("labels", [np.full(5, 0.5), np.array(["a"] * 5)], ids=["float", "text"])
def test_labels_that_are_no_whole_numbers_are_refused(
    labels: np.ndarray, split: ImageSplit, tmp_path: Path
) -> None:
    write_split(tmp_path, "train", split)
    write_array(tmp_path / "train_labels.npy", labels)
    with pytest.raises(RunFolderError, match="fit each other"):
        read_split(tmp_path, "train")


def test_objects_are_neither_written_nor_read(split: ImageSplit, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle=False"):
        write_array(tmp_path / "objects.npy", np.array([{}, None]))
    write_split(tmp_path, "train", split)
    np.save(tmp_path / "train_labels.npy", np.array([{}] * 5), allow_pickle=True)
    with pytest.raises(RunFolderError, match=r"train_labels\.npy cannot be read"):
        read_split(tmp_path, "train")


def test_named_arrays_come_back(tmp_path: Path) -> None:
    arrays = {"logits": np.linspace(0, 1, 6).reshape(2, 3), "labels": np.array([1, 0])}
    write_arrays(tmp_path / "arrays.npz", **arrays)
    again = read_arrays(tmp_path / "arrays.npz")
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype


def test_missing_arrays_say_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"none\.npz cannot be read .* run the same command"):
        read_arrays(tmp_path / "none.npz")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a whole training split and a whole file of named arrays."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    labels = np.arange(6)
    write_split(
        folder, "train", ImageSplit(rng.integers(0, 256, (6, 3, 3, 1), dtype=np.uint8), labels)
    )
    write_arrays(folder / "arrays.npz", labels=labels, scores=rng.random((6, 2)))
    return folder


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """Put other content into a file for a while."""
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["train_images.npy", "train_labels.npy"])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_cut_array_is_refused(name: str, share: float, files: Path) -> None:
    content = (files / name).read_bytes()
    with (
        replaced(files / name, content[: int(share * len(content))]),
        pytest.raises(RunFolderError, match=f"{name} cannot be read"),
    ):
        read_split(files, "train")


def test_a_damaged_header_is_refused(files: Path) -> None:
    content = (files / "train_labels.npy").read_bytes()
    with (
        replaced(files / "train_labels.npy", content.replace(b"False", b"(alse")),
        pytest.raises(RunFolderError, match=r"train_labels\.npy cannot be read"),
    ):
        read_split(files, "train")


def test_damaged_named_arrays_are_refused(files: Path) -> None:
    content = bytearray((files / "arrays.npz").read_bytes())
    content[60] ^= 0xFF  # within the first array's packed bytes
    with (
        replaced(files / "arrays.npz", bytes(content)),
        pytest.raises(RunFolderError, match=r"arrays\.npz cannot be read"),
    ):
        read_arrays(files / "arrays.npz")


@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_named_arrays_are_refused(share: float, files: Path) -> None:
    content = (files / "arrays.npz").read_bytes()
    with (
        replaced(files / "arrays.npz", content[: int(share * len(content))]),
        pytest.raises(RunFolderError, match=r"arrays\.npz cannot be read"),
    ):
        read_arrays(files / "arrays.npz")


def test_given_validation_images_follow_the_corrections(tmp_path: Path) -> None:
    images = np.zeros((5, 2, 2, 1), np.uint8)
    write_split(tmp_path, "train", ImageSplit(images, np.array([0, 1, 0, 1, 0])))
    assert read_validation(tmp_path) is None  # as in a folder of an earlier version
    write_validation(tmp_path, np.array([False, True, False, False, True]))
    marked = read_validation(tmp_path)
    assert marked is not None
    assert marked.tolist() == [False, True, False, False, True]
    write_corrected(tmp_path, "train", np.array([0, 1, 0, 1, 0]), np.array([0, 2, 3, 4]))
    marked = read_validation(tmp_path)
    assert marked is not None
    assert marked.tolist() == [False, False, False, True]
    write_corrected(tmp_path, "train", np.array([0, 1, 0, 1, 0]), np.array([0, 2, 3]))
    assert read_validation(tmp_path) is None  # all dropped


def test_places_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_split(tmp_path, "train", ImageSplit(np.zeros((2, 2, 2, 1), np.uint8), np.array([0, 1])))
    write_validation(tmp_path, np.array([False, False, False, True]))
    with pytest.raises(RunFolderError, match="does not fit the images beside it"):
        read_validation(tmp_path)
