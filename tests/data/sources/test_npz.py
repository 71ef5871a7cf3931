"""Arrays in an .npz file: what is read, and what is refused with a sentence."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.npz import SOURCE
from tenfold.data.sources.source import SourceOptions


def _images(count: int, *shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, *(shape or (8, 6))), np.uint8)


def _medmnist(**changes: Any) -> dict[str, Any]:
    arrays = {}
    for seed, (name, count) in enumerate({"train": 12, "val": 6, "test": 8}.items()):
        arrays[f"{name}_images"] = _images(count, 8, 6, 3, seed=seed)
        arrays[f"{name}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, np.newaxis]
    return arrays | changes


def _save(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def _load(path: Path, **options: Any) -> ImageDataset:
    return SOURCE.load(path, SourceOptions(**options), SilentProgress())


def _refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        _load(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def _rows(images: Any) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_medmnist_s_splits_are_kept(tmp_path: Path) -> None:
    arrays = _medmnist()
    path = _save(tmp_path / "pathmnist.npz", **arrays)
    assert find_source(str(path))[0] is SOURCE
    dataset = _load(path)
    assert dataset.classes == ("0", "1")
    assert dataset.train.images.shape == (18, 8, 6, 3)
    assert _rows(dataset.test.images) == _rows(arrays["test_images"])
    assert dataset.is_validation is not None
    held_out = dataset.train.images[dataset.is_validation]
    assert _rows(held_out) == _rows(arrays["val_images"])
    given = {
        image.tobytes(): int(label)
        for name in ("train", "val")
        for image, label in zip(
            arrays[f"{name}_images"], arrays[f"{name}_labels"][:, 0], strict=True
        )
    }
    found = zip(dataset.train.images, dataset.train.labels, strict=True)
    assert all(given[image.tobytes()] == label for image, label in found)
    assert "12 images for training, 6 images for validation, 8 images" in dataset.split_note


def test_keras_s_names_are_understood(tmp_path: Path) -> None:
    path = _save(
        tmp_path / "mnist.npz",
        x_train=_images(10),
        y_train=np.arange(10) % 3,
        x_test=_images(6, seed=1),
        y_test=np.arange(6) % 3,
    )
    dataset = _load(path)
    assert dataset.train.images.shape == (10, 8, 6, 1)
    assert len(dataset.test) == 6
    assert dataset.is_validation is None


@pytest.mark.parametrize("names", [("images", "labels"), ("X", "y"), ("data", "target")])
def test_arrays_without_splits_are_split(tmp_path: Path, names: tuple[str, str]) -> None:
    path = _save(tmp_path / "a.npz", **{names[0]: _images(20), names[1]: np.arange(20) % 2})
    dataset = _load(path)
    assert (len(dataset.train), len(dataset.test)) == (16, 4)
    assert dataset.split_note.startswith("Split by tenfold: 20%")


def test_validation_takes_the_place_of_a_missing_test_split(tmp_path: Path) -> None:
    arrays = {name: array for name, array in _medmnist().items() if "test" not in name}
    dataset = _load(_save(tmp_path / "a.npz", **arrays))
    assert (len(dataset.train), len(dataset.test)) == (12, 6)
    assert "There are no test images" in dataset.notes[0]


def test_labels_may_be_text_or_have_names(tmp_path: Path) -> None:
    labels = np.array(["cat", "dog"] * 6)
    dataset = _load(_save(tmp_path / "a.npz", images=_images(12), labels=labels))
    assert dataset.classes == ("cat", "dog")
    named = _save(
        tmp_path / "b.npz",
        images=_images(12),
        labels=np.arange(12) % 2,
        class_names=np.array(["zebra", "ant"]),
        weights=np.zeros(3),
    )
    dataset = _load(named)
    assert dataset.classes == ("ant", "zebra")
    assert "Other arrays in the file were not used: weights." in dataset.notes


def test_another_size_is_made(tmp_path: Path) -> None:
    dataset = _load(_save(tmp_path / "a.npz", **_medmnist()), image_size_px=4)
    assert dataset.train.image_shape == dataset.test.image_shape == (4, 4, 3)
    assert dataset.resized == 26


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": _images(12, 8, 6, 3) / 255}, r"type float64; .*\* 255\)"),
        ({"train_images": _images(12, 8, 6, 3) > 9}, "type bool"),
        ({"test_images": _images(8, 8, 6, 3).astype(np.uint16)}, "test_images .* type uint16"),
        ({"train_images": _images(12, 8, 6, 4)}, "12 × 8 × 6 × 4.*transparency"),
        ({"train_images": _images(12, 3, 8, 6)}, "channels last"),
        ({"train_images": _images(12, 48)}, "height and width"),
        ({"train_images": _images(12, 8, 8, 8, 3)}, "Volumes"),
        ({"train_images": np.zeros((0, 8, 6), np.uint8)}, "at least one"),
        ({"test_images": _images(8, 8, 6)}, "images of one shape"),
        ({"train_labels": np.arange(11) % 2}, "has 11 labels, but .* has 12 images"),
        ({"train_labels": np.zeros((12, 14), np.uint8)}, r"12 × 14.*argmax"),
        ({"train_labels": np.array([0, 1, np.nan] * 4)}, "row 2 .*'nan', is no whole number"),
        ({"train_labels": np.array([0, 1, 0.5] * 4)}, "row 2 .*and so are 3 more"),
        ({"train_labels": np.array(["a", " ", "b"] * 4)}, "row 1 .*is empty"),
        ({"train_labels": np.array([b"a", b"b"] * 6)}, r"astype\(str\)"),
        ({"test_labels": np.array([0, 2] * 4)}, "no training image has: 2 .first in row 1"),
        ({"train_labels": np.array(["a", "b"] * 6, object)}, "never unpickled"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = _save(tmp_path / "a.npz", **_medmnist(**changes))
    with pytest.raises(DataError, match=message):
        _load(path)
    assert str(path) in _refusal(path)


def test_a_misspelt_class_has_a_neighbour(tmp_path: Path) -> None:
    path = _save(
        tmp_path / "a.npz",
        x_train=_images(8),
        y_train=np.array(["cats", "dogs"] * 4),
        x_test=_images(4),
        y_test=np.array(["cats", "dog"] * 2),
    )
    assert "Did you mean dogs?" in _refusal(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("arr_0", "arr_1"), "no images and labels by their names; it holds arr_0 (uint8, 4"),
        (("train_images", "train_labls"), "no train_labels;"),
        (("train_images", "train_labls"), "Is it train_labls? Then rename it."),
        (("test_images", "test_labels"), "has no training images"),
        (("images", "other"), "by their names"),
    ],
)
def test_missing_arrays_are_named(tmp_path: Path, names: tuple[str, str], message: str) -> None:
    path = _save(tmp_path / "a.npz", **{name: _images(4) for name in names})
    refusal = _refusal(path)
    assert message in refusal
    assert "Expected train_images and train_labels" in refusal


def test_one_class_is_none(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npz", images=_images(4), labels=np.zeros(4, int))
    assert "one class only (0)" in _refusal(path)


def test_a_class_of_one_image_each_cannot_be_split(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npz", images=_images(4), labels=np.arange(4))
    with pytest.raises(DataError, match="one image a class"):
        _load(path)


def _raw(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def _npy(array: Any, *, says: tuple[int, ...] | None = None) -> bytes:
    buffer = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(buffer, header | {"shape": says or array.shape})
    return buffer.getvalue() + array.tobytes()


def test_a_damaged_file_is_refused_at_a_bounded_cost(tmp_path: Path, bounded: Any) -> None:
    labels = _npy(np.arange(4))
    hostile = {
        "nothing": b"",
        "no zip": b"1234" * 100,
        "more than is there": _npy(_images(4), says=(2**40, 8, 6)),
        "less than is there": _npy(_images(4), says=(2, 8, 6)),
        "a bomb": _npy(np.zeros((2**20, 16, 18), np.uint8)),
        "no header": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70_000,
    }
    for name, content in hostile.items():
        path = tmp_path / "a.npz"
        if name in {"nothing", "no zip"}:
            path.write_bytes(content)
        else:
            _raw(path, images=content, labels=labels)
        with bounded(2**23):
            assert "is not a whole .npz file" in _refusal(path), name
    whole = _save(tmp_path / "whole.npz", **_medmnist()).read_bytes()
    for size in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:size])
        _refusal(path)


def test_more_than_the_memory_holds_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _save(tmp_path / "a.npz", **_medmnist())
    monkeypatch.setattr("tenfold.data.sources.labelled_arrays.available_memory", lambda: 1000)
    assert "the largest array is train_images" in _refusal(path)


def test_a_changed_file_has_another_fingerprint(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npz", **_medmnist())
    before = SOURCE.fingerprint(path)
    assert SOURCE.fingerprint(path) == before
    _save(path, **_medmnist(more=np.zeros(9)))
    assert SOURCE.fingerprint(path) != before
