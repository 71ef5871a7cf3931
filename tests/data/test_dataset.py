from __future__ import annotations

import os
import time
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
    Images,
    ImageSplit,
    Labels,
    PixelStatistics,
    pixel_statistics,
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
    assert again.images.flags.writeable, "torch warns of arrays that it cannot write to"


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


def random_images(shape: tuple[int, ...], *, highest: int = 255) -> Images:
    return np.random.default_rng(0).integers(0, highest, shape, np.uint8, endpoint=True)


def by_brute_force(images: Images, labels: Labels, class_count: int) -> PixelStatistics:
    """Compute the same with float64 copies."""
    scaled = images.astype(np.float64) / 255
    groups = [scaled[labels == label] for label in range(class_count)]
    return PixelStatistics(
        class_counts=tuple(len(group) for group in groups),
        class_means=tuple(float(group.mean()) if group.size else 0.0 for group in groups),
        class_standard_deviations=tuple(
            float(group.std()) if group.size else 0.0 for group in groups
        ),
        channel_means=tuple(scaled.mean(axis=(0, 1, 2)).tolist()),
        channel_standard_deviations=tuple(scaled.std(axis=(0, 1, 2)).tolist()),
    )


@pytest.mark.parametrize(
    "shape",
    [
        (700, 32, 32, 3),  # several blocks, the last one smaller
        (50, 8, 8, 1),
        (9, 5, 13, 4),
        (3, 300, 2, 3),  # columns too high for sums in 16 bits
        (2, 700, 800, 1),  # an image larger than a block
        (40, 1, 1, 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("highest", [255, 3, 0])
def test_it_equals_brute_force(shape: tuple[int, ...], highest: int) -> None:
    images = random_images(shape, highest=highest)
    labels = np.random.default_rng(1).integers(0, 4, shape[0])
    measured, expected = pixel_statistics(images, labels, 5), by_brute_force(images, labels, 5)
    assert measured.class_counts == expected.class_counts
    for name in (
        "class_means",
        "class_standard_deviations",
        "channel_means",
        "channel_standard_deviations",
    ):
        np.testing.assert_allclose(
            getattr(measured, name), getattr(expected, name), rtol=1e-10, atol=1e-12, err_msg=name
        )


@pytest.mark.parametrize("height", [257, 258])
def test_white_images_overflow_nothing(height: int) -> None:
    images = np.full((3, height, 40, 3), 255, np.uint8)
    measured = pixel_statistics(images, np.zeros(3, np.int64), 1)
    assert measured == PixelStatistics((3,), (1.0,), (0.0,), (1.0,) * 3, (0.0,) * 3)


def test_a_class_without_images_has_zeros_and_no_warning() -> None:
    images = random_images((4, 8, 8, 3))
    measured = pixel_statistics(images, np.full(4, 1), 3)
    assert measured.class_counts == (0, 4, 0)
    assert measured.class_means[0] == measured.class_standard_deviations[2] == 0
    assert measured.class_means[1] > 0


def test_no_images_at_all_give_zeros() -> None:
    measured = pixel_statistics(np.empty((0, 8, 8, 3), np.uint8), np.empty(0, np.int64), 2)
    assert measured == PixelStatistics((0, 0), (0.0, 0.0), (0.0, 0.0), (0.0,) * 3, (0.0,) * 3)


def test_images_that_do_not_lie_in_one_piece_are_measured_the_same() -> None:
    images = random_images((60, 9, 10, 3))[::2, 1:, ::3]
    labels = np.arange(30) % 3
    assert pixel_statistics(images, labels, 3) == pixel_statistics(images.copy(), labels, 3)


def test_values_are_plain_numbers() -> None:
    measured = pixel_statistics(random_images((4, 8, 8, 1)), np.array([0, 1, 0, 1]), 2)
    assert type(measured.class_counts[0]) is int
    for values in (measured.class_means, measured.channel_standard_deviations):
        assert type(values[0]) is float


@pytest.mark.cifar10
def test_cifar10_has_its_known_statistics(cifar10_path: Path) -> None:
    files = sorted(cifar10_path.rglob("data_batch_*.bin"))
    if len(files) != 5:
        pytest.skip("TENFOLD_CIFAR10 is not the unpacked binary version")
    records = np.concatenate([np.fromfile(file, np.uint8) for file in files]).reshape(-1, 3073)
    labels = records[:, 0].astype(np.int64)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    started = time.perf_counter()
    measured = pixel_statistics(images, labels, 10)
    seconds = time.perf_counter() - started
    assert measured.class_counts == (5_000,) * 10
    np.testing.assert_allclose(measured.channel_means, [0.49140, 0.48216, 0.44653], atol=1e-5)
    np.testing.assert_allclose(
        measured.channel_standard_deviations, [0.24703, 0.24349, 0.26159], atol=1e-5
    )
    assert measured.class_means[0] == pytest.approx(0.5583, abs=1e-4)
    assert measured.class_standard_deviations[0] == pytest.approx(0.2539, abs=1e-4)
    # Far above the quarter of a second it takes, so that a busy machine does not fail the test.
    assert seconds < 2
