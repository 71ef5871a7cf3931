"""MNIST's idx files: what is read, and what is refused with a sentence."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.idx import SOURCE
from tenfold.data.sources.source import SourceOptions

TRAIN, TEST = 12, 8


def _idx(array: Any, kind: int = 8, shape: tuple[int, ...] | None = None) -> bytes:
    shape = array.shape if shape is None else shape
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + array.tobytes()


def _arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", TRAIN), ("t10k", TEST)):
        arrays[f"{split}-images"] = rng.integers(0, 256, (count, 8, 6), np.uint8)
        arrays[f"{split}-labels"] = (np.arange(count) % 2).astype(np.uint8)
    return arrays


def _write(
    folder: Path, *, prefix: str = "", test: str = "t10k", is_packed: bool = False, dot: str = "-"
) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = _arrays()
    for name, array in arrays.items():
        content = _idx(array)
        file = f"{prefix}{name.replace('t10k', test)}{dot}idx{array.ndim}-ubyte"
        if is_packed:
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / file).write_bytes(content)
    return arrays


def _load(path: Path, **options: Any) -> ImageDataset:
    return SOURCE.load(path, SourceOptions(**options), SilentProgress())


def _refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        _load(path)
    return str(caught.value)


def _check(dataset: ImageDataset, arrays: dict[str, Any]) -> None:
    assert dataset.classes == ("0", "1")
    assert (len(dataset.train), len(dataset.test)) == (TRAIN, TEST)
    for split, name in ((dataset.train, "train"), (dataset.test, "t10k")):
        given = dict(
            zip(map(bytes, arrays[f"{name}-images"]), arrays[f"{name}-labels"], strict=True)
        )
        for image, label in zip(split.images[..., 0], split.labels, strict=True):
            assert given[image.tobytes()] == label


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw"])
def test_a_folder_of_the_four_files_is_read(tmp_path: Path, place: str, is_packed: bool) -> None:
    arrays = _write(tmp_path / "data" / place, is_packed=is_packed)
    path = tmp_path / "data"
    assert find_source(str(path))[0] is SOURCE
    _check(_load(path), arrays)
    assert "12 images for training, 8 images for testing" in _load(path).split_note


def test_a_file_stands_for_its_folder(tmp_path: Path) -> None:
    arrays = _write(tmp_path, dot=".")
    file = tmp_path / "t10k-labels.idx1-ubyte"
    assert find_source(str(file))[0] is SOURCE
    _check(_load(file), arrays)


def test_files_in_folders_of_their_own_names_are_found(tmp_path: Path) -> None:
    arrays = _write(tmp_path / "flat")
    for file in (tmp_path / "flat").iterdir():
        (tmp_path / "data" / file.name).mkdir(parents=True)
        file.rename(tmp_path / "data" / file.name / file.name)
    _check(_load(tmp_path / "data"), arrays)


def test_what_is_there_unpacked_is_not_unpacked_again(tmp_path: Path) -> None:
    arrays = _write(tmp_path)
    for file in [*tmp_path.iterdir()]:
        (tmp_path / f"{file.name}.gz").write_bytes(b"not looked at")
    _check(_load(tmp_path), arrays)


def test_emnist_is_turned_upright_and_its_letters_named(tmp_path: Path) -> None:
    arrays = _write(tmp_path, prefix="emnist-letters-", test="test", is_packed=True)
    (tmp_path / "emnist-letters-mapping.txt").write_text("0 65 97\n1 66 98\n")
    dataset = _load(tmp_path)
    assert dataset.classes == ("Aa", "Bb")
    assert dataset.title == "emnist-letters"
    assert dataset.train.images.shape == (TRAIN, 6, 8, 1)
    assert any("upright" in note for note in dataset.notes)
    found = {image.T.tobytes() for image in dataset.train.images[..., 0]}
    assert found == {image.tobytes() for image in arrays["train-images"]}


def test_one_of_several_data_sets_is_to_be_named(tmp_path: Path) -> None:
    for name in ("emnist-letters-", "emnist-digits-"):
        _write(tmp_path, prefix=name, test="test", is_packed=True)
    refusal = _refusal(tmp_path)
    assert "several data sets: emnist-digits, emnist-letters" in refusal
    assert _load(Path(refusal.split("--data ")[1])).title == "emnist-digits"


def test_without_test_images_they_are_split(tmp_path: Path) -> None:
    _write(tmp_path)
    for name in ("images-idx3", "labels-idx1"):
        (tmp_path / f"t10k-{name}-ubyte").unlink()
    assert _load(tmp_path).split_note.startswith("Split by tenfold")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train-labels-idx1-ubyte", "has train-images-idx3-ubyte but no labels of that split"),
        ("t10k-images-idx3-ubyte", "has t10k-labels-idx1-ubyte but no images of that split"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, name: str, message: str) -> None:
    _write(tmp_path)
    (tmp_path / name).unlink()
    assert message in _refusal(tmp_path)


def test_a_file_of_no_split_is_refused(tmp_path: Path) -> None:
    _write(tmp_path)
    file = tmp_path / "my-images-idx3-ubyte"
    file.write_bytes(IMAGES)
    assert "is no idx file of a split" in _refusal(file)
    assert "holds no idx file of a split" in _refusal(tmp_path / "..")


def test_training_images_are_needed(tmp_path: Path) -> None:
    _write(tmp_path)
    for name in ("images-idx3", "labels-idx1"):
        (tmp_path / f"train-{name}-ubyte").unlink()
    assert "no training images" in _refusal(tmp_path)


def _bomb(count: int) -> bytes:
    squeeze = zlib.compressobj(9, wbits=31)
    return b"".join([*(squeeze.compress(bytes(2**20)) for _ in range(count)), squeeze.flush()])


IMAGES = _idx(_arrays()["train-images"])
HOSTILE = {
    "empty": (b"", "is no idx file: it begins with nothing"),
    "another file": (b"\x89PNG\r\n", "is no idx file: it begins with 89 50 4e 47"),
    "within the header": (IMAGES[:9], "cut off within its header"),
    "cut off": (IMAGES[:-5], "cut off: 5 bytes are missing. Its header says 12 × 8 × 6 values"),
    "too long": (IMAGES + b"123", "too long by 3 bytes"),
    "floats": (_idx(np.zeros((12, 8, 6), ">f4"), 13), "holds floating-point numbers; tenfold"),
    "far more than there is": (_idx(np.zeros(9, np.uint8), shape=(2**31,) * 3), "of memory"),
    "no images": (_idx(np.zeros((0, 8, 6), np.uint8)), "at least one"),
    "one axis": (_idx(np.zeros(12, np.uint8)), "has the shape 12"),
    "fewer images": (_idx(np.zeros((11, 8, 6), np.uint8)), "has 12 labels, but"),
}


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_wrong_files_are_refused(tmp_path: Path, bounded: Any, name: str, is_packed: bool) -> None:
    content, message = HOSTILE[name]
    _write(tmp_path, is_packed=is_packed)
    file = tmp_path / f"train-images-idx3-ubyte{'.gz' if is_packed else ''}"
    file.write_bytes(gzip.compress(content) if is_packed else content)
    with bounded(2**22):
        refusal = _refusal(tmp_path)
    assert message in refusal
    assert str(tmp_path) in refusal


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1234", "not a whole .gz file"),
        (gzip.compress(IMAGES)[:-4], "not a whole .gz file (it ends too early)"),
        (gzip.compress(IMAGES[:16]) + _bomb(40), "unpacks to far more than its header says"),
    ],
)
def test_wrong_gzip_is_refused(tmp_path: Path, bounded: Any, content: bytes, message: str) -> None:
    _write(tmp_path, is_packed=True)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with bounded(2**23):
        assert message in _refusal(tmp_path)


@pytest.mark.parametrize("text", ["0\n", "zero 65\n", "0 7\n", "0 999999999999\n"])
def test_a_mapping_that_is_none_names_its_line(tmp_path: Path, text: str) -> None:
    _write(tmp_path, prefix="emnist-x-", test="test")
    (tmp_path / "emnist-x-mapping.txt").write_text(f"1 66\n{text}")
    assert "line 2" in _refusal(tmp_path)


def test_a_changed_file_has_another_fingerprint(tmp_path: Path) -> None:
    _write(tmp_path)
    before = SOURCE.fingerprint(tmp_path)
    (tmp_path / "readme.txt").touch()
    assert SOURCE.fingerprint(tmp_path) == before
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"")
    assert SOURCE.fingerprint(tmp_path) != before
