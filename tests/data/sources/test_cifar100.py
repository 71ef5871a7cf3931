from __future__ import annotations

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import DataError, UnsafePickleError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.cifar100 import CLASSES, SOURCE, Cifar100Source
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.source import SourceOptions

TarGz = Callable[[dict[str, bytes], str], bytes]
VERSIONS = ("binary", "python")


@pytest.fixture
def source(tiny_cifar100: Any) -> Cifar100Source:
    return Cifar100Source(tiny_cifar100.records)


@pytest.fixture(params=VERSIONS)
def files(request: pytest.FixtureRequest, tiny_cifar100: Any) -> dict[str, bytes]:
    found: dict[str, bytes] = getattr(tiny_cifar100, f"{request.param}_files")()
    return found


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _load(source: Cifar100Source, path: Path | None, **options: Any) -> ImageDataset:
    return source.load(path, SourceOptions(**options), SilentProgress())


def _check(dataset: ImageDataset, tiny: Any) -> None:
    images = np.concatenate([dataset.train.images, dataset.test.images])
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    assert np.array_equal(images, tiny.expected_images())
    assert np.array_equal(labels, tiny.labels)
    assert (len(dataset.train), len(dataset.test)) == tiny.records
    assert dataset.classes == tuple(tiny.names())


def test_the_standard_names_are_a_hundred_in_order() -> None:
    assert len(set(CLASSES)) == 100
    assert list(CLASSES) == sorted(CLASSES)


@pytest.mark.parametrize("is_inside", [False, True])
def test_folders_of_both_versions_are_read(
    source: Cifar100Source,
    tiny_cifar100: Any,
    tmp_path: Path,
    files: dict[str, bytes],
    is_inside: bool,
) -> None:
    version = "binary" if "train.bin" in files else "python"
    place = f"cifar-100-{version}" if is_inside else ""
    _write(tmp_path / "data" / place, files)
    assert find_source(str(tmp_path / "data"))[0] is SOURCE
    dataset = _load(source, tmp_path / "data")
    _check(dataset, tiny_cifar100)
    assert not any("other files" in note for note in dataset.notes)
    assert source.fingerprint(tmp_path / "data") == source.fingerprint(tmp_path / "data" / place)


def test_archives_of_both_versions_are_read(
    source: Cifar100Source,
    tiny_cifar100: Any,
    tar_gz: TarGz,
    tmp_path: Path,
    files: dict[str, bytes],
) -> None:
    version = "binary" if "train.bin" in files else "python"
    for name in (f"cifar-100-{version}.tar.gz", "cifar100.tgz", "mine.tar.gz"):
        path = tmp_path / name
        path.write_bytes(tar_gz(files, f"cifar-100-{version}"))
        assert find_source(str(path))[0] is SOURCE
        dataset = _load(source, path)
        _check(dataset, tiny_cifar100)
        assert not any("other files" in note for note in dataset.notes)
        assert len(source.fingerprint(path)) == 64


def test_without_names_the_standard_ones_are_taken(
    source: Cifar100Source, tmp_path: Path, files: dict[str, bytes]
) -> None:
    for name in ("fine_label_names.txt", "meta"):
        files.pop(name, None)
    dataset = _load(source, _write(tmp_path, files))
    assert dataset.classes == CLASSES
    assert any("the standard class names were taken" in note for note in dataset.notes)


def test_another_size_is_made(
    source: Cifar100Source, tmp_path: Path, files: dict[str, bytes]
) -> None:
    dataset = _load(source, _write(tmp_path, files), image_size_px=8)
    assert dataset.train.image_shape == (8, 8, 3)
    assert dataset.resized == 13


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-7], "cut off: 7 bytes are missing"),
        (lambda content: content + b"1", "too long by 1 bytes"),
        (lambda content: content[:1] + b"\x64" + content[2:], "label 100; labels are 0 to 99"),
        (lambda content: content[:0], "cut off"),
    ],
)
def test_wrong_binary_files_are_refused(
    source: Cifar100Source,
    tiny_cifar100: Any,
    tmp_path: Path,
    change: Callable[[bytes], bytes],
    message: str,
) -> None:
    files = tiny_cifar100.binary_files()
    _write(tmp_path, files | {"train.bin": change(files["train.bin"])})
    with pytest.raises(DataError, match=message) as caught:
        _load(source, tmp_path)
    assert "train.bin" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: pickle.dumps({"labels": []}, 2), "no entry 'data'"),
        (
            lambda: pickle.dumps({"data": np.zeros((9, 3072), np.uint8), "labels": [0] * 9}, 2),
            "no entry 'fine_labels'.*Give the folder or archive of CIFAR-100",
        ),
        (lambda: pickle.dumps([1]), "CIFAR-100's Python version holds a dictionary"),
        (lambda: b"\x80\x02" + b"]" * 3_000_000, "too long"),
        (lambda: b"text", "train"),
    ],
)
def test_wrong_python_files_are_refused(
    source: Cifar100Source,
    tiny_cifar100: Any,
    tmp_path: Path,
    content: Callable[[], bytes],
    message: str,
) -> None:
    _write(tmp_path, tiny_cifar100.python_files() | {"train": content()})
    with pytest.raises(DataError, match=message):
        _load(source, tmp_path)


class _Harmful:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_a_pickle_that_runs_a_program_is_refused(
    source: Cifar100Source, tiny_cifar100: Any, tmp_path: Path
) -> None:
    _write(tmp_path, tiny_cifar100.python_files() | {"train": pickle.dumps(_Harmful(), 2)})
    with pytest.raises(UnsafePickleError):
        _load(source, tmp_path)


def test_a_missing_file_is_named(
    source: Cifar100Source, tiny_cifar100: Any, tmp_path: Path
) -> None:
    files = tiny_cifar100.python_files()
    del files["test"]
    with pytest.raises(DataError, match="holds CIFAR-100 in the Python version but lacks test"):
        _load(source, _write(tmp_path, files))


def test_a_cut_or_foreign_archive_is_refused(
    source: Cifar100Source, tiny_cifar100: Any, tar_gz: TarGz, tmp_path: Path
) -> None:
    path = tmp_path / "cifar-100-binary.tar.gz"
    content = tar_gz(tiny_cifar100.binary_files(), "x")
    for wrong, message in (
        (content[:-30], "not a whole .tar.gz archive"),
        (tar_gz({"a.txt": b"1"}, "x"), "holds no file of CIFAR-100; it holds x/a.txt"),
        (tar_gz({"train.bin": b"1"}, "x"), "cut off"),
        (gzip.compress(bytes(2**26)), "unpacks to far more than CIFAR-100"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match=message):
            _load(source, path)


def test_what_is_not_cifar100_is_not_recognised(
    source: Cifar100Source, binary_folder: Path, tar_gz: TarGz, tmp_path: Path
) -> None:
    assert not source.recognises(binary_folder)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "train").write_bytes(b"1")
    assert not source.recognises(tmp_path / "one")
    (tmp_path / "a.tar.gz").write_bytes(tar_gz({"train": b"1", "test": b"1"}, "x"))
    assert not source.recognises(tmp_path / "a.tar.gz")
    with pytest.raises(DataError, match="holds no CIFAR-100"):
        _load(source, binary_folder)
    with pytest.raises(DataError, match=r"kriz/cifar\.html"):
        _load(source, None)
    with pytest.raises(DataError, match="does not exist"):
        _load(source, tmp_path / "missing")
