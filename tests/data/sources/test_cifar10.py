from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import ChecksumError, DataError, DownloadError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.download import RemoteArchive
from tenfold.data.sources.cifar10 import SOURCE, Cifar10Source
from tenfold.data.sources.source import SourceOptions

RECORDS = 7
TarGz = Callable[[dict[str, bytes], str], bytes]


@pytest.fixture
def source() -> Cifar10Source:
    return Cifar10Source(records_per_batch=RECORDS)


def _load(source: Cifar10Source, path: Path | None, **options: Any) -> ImageDataset:
    return source.load(path, SourceOptions(**options), SilentProgress())


def _check(dataset: ImageDataset, tiny: Any) -> None:
    images = np.concatenate([dataset.train.images, dataset.test.images])
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    assert np.array_equal(images, tiny.expected_images())
    assert np.array_equal(labels, tiny.labels.ravel())
    assert (len(dataset.train), len(dataset.test)) == (5 * RECORDS, RECORDS)
    assert dataset.classes[0] == "airplane"
    assert dataset.train.images.base is dataset.test.images.base  # One array.


@pytest.mark.parametrize(
    ("version", "folder_name"),
    [
        ("binary", ""),
        ("binary", "cifar-10-batches-bin"),
        ("python", ""),
        ("python", "cifar-10-batches-py"),
    ],
)
def test_folders_of_both_versions_are_read(
    source: Cifar10Source, tiny_cifar10: Any, tmp_path: Path, version: str, folder_name: str
) -> None:
    path = tmp_path / "data"
    folder = path / folder_name
    folder.mkdir(parents=True)
    for name, content in getattr(tiny_cifar10, f"{version}_files")().items():
        (folder / name).write_bytes(content)
    assert source.recognises(path)
    dataset = _load(source, path)
    _check(dataset, tiny_cifar10)
    assert dataset.location == str(folder)
    assert dataset.resized == 0


@pytest.mark.parametrize("version", ["binary", "python"])
def test_archives_of_both_versions_are_read_with_a_note_about_the_checksum(
    source: Cifar10Source, tiny_cifar10: Any, tar_gz: TarGz, tmp_path: Path, version: str
) -> None:
    path = tmp_path / f"cifar-10-{version}.tar.gz"
    path.write_bytes(tar_gz(getattr(tiny_cifar10, f"{version}_files")(), "x"))
    for given in (path, tmp_path):
        assert source.recognises(given)
        dataset = _load(source, given)
        _check(dataset, tiny_cifar10)
        assert any("another checksum" in note for note in dataset.notes)
    renamed = path.rename(tmp_path / "mine.tar.gz")
    assert not any("checksum" in note for note in _load(source, renamed).notes)


def test_missing_files_are_listed(source: Cifar10Source, binary_folder: Path) -> None:
    (binary_folder / "data_batch_4.bin").unlink()
    (binary_folder / "test_batch.bin").unlink()
    assert source.recognises(binary_folder)
    with pytest.raises(DataError, match=r"lacks data_batch_4\.bin, test_batch\.bin"):
        _load(source, binary_folder)


def test_a_truncated_file_in_a_folder_is_named(source: Cifar10Source, binary_folder: Path) -> None:
    file = binary_folder / "data_batch_4.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_4\.bin is cut off: 1 bytes are missing"):
        _load(source, binary_folder)


def test_an_enormous_file_is_refused_without_reading_it(
    source: Cifar10Source, python_folder: Path
) -> None:
    with (python_folder / "data_batch_1").open("r+b") as file:
        file.truncate(10**12)  # Sparse: takes no space.
    with pytest.raises(DataError, match=r"too long: it has 1,000,000,000,000 bytes"):
        _load(source, python_folder)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_a_file_that_says_it_is_empty_is_not_read_for_ever(
    source: Cifar10Source, python_folder: Path
) -> None:
    (python_folder / "data_batch_1").unlink()
    (python_folder / "data_batch_1").symlink_to("/proc/self/maps")
    with pytest.raises(DataError, match=r"data_batch_1 cannot be read: .*at most 0 are read"):
        _load(source, python_folder)


def test_an_unreadable_file_is_named(
    source: Cifar10Source, binary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DataError, match=r"data_batch_1\.bin cannot be read: Permission denied"):
        _load(source, binary_folder)


def test_missing_class_names_are_noted(source: Cifar10Source, binary_folder: Path) -> None:
    (binary_folder / "batches.meta.txt").unlink()
    dataset = _load(source, binary_folder)
    assert dataset.classes[9] == "truck"
    assert any(note.startswith("batches.meta.txt is missing") for note in dataset.notes)


def test_another_size_resizes_all(source: Cifar10Source, binary_folder: Path) -> None:
    dataset = _load(source, binary_folder, image_size_px=16)
    assert dataset.train.images.shape == (5 * RECORDS, 16, 16, 3)
    assert dataset.resized == 6 * RECORDS


def test_the_environment_variable_comes_first(
    source: Cifar10Source, binary_folder: Path, tiny_cifar10: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source.available() is None
    monkeypatch.setenv("TENFOLD_CIFAR10", str(binary_folder))
    assert source.available() == str(binary_folder)
    _check(_load(source, None), tiny_cifar10)
    assert source.fingerprint(None) == source.fingerprint(binary_folder)


@pytest.mark.parametrize("exists", [True, False])
def test_a_wrong_environment_variable_is_an_error(
    source: Cifar10Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    place = tmp_path / "empty"
    if exists:
        place.mkdir()
    monkeypatch.setenv("TENFOLD_CIFAR10", str(place))
    expected = "holds no CIFAR-10" if exists else "does not exist"
    for use in (source.available, lambda: _load(source, None), lambda: source.fingerprint(None)):
        with pytest.raises(DataError, match=f"TENFOLD_CIFAR10 is set to .*{expected}"):
            use()


def test_offline_says_how_to_give_a_copy(source: Cifar10Source, own_cache: Path) -> None:
    with pytest.raises(DownloadError, match=r"forbidden \(--offline\).*--data PATH") as caught:
        _load(source, None, is_offline=True)
    assert str(own_cache) in str(caught.value)


def test_the_cached_download_is_verified(tiny_cifar10: Any, tar_gz: TarGz, own_cache: Path) -> None:
    content = tar_gz(tiny_cifar10.python_files(), "cifar-10-batches-py")
    remote = RemoteArchive("a.tar.gz", hashlib.sha256(content).hexdigest(), len(content), ())
    source = Cifar10Source(RECORDS, remote)
    before = source.fingerprint(None)
    own_cache.mkdir()
    (own_cache / "a.tar.gz").write_bytes(content)
    assert source.available() == str(own_cache / "a.tar.gz")
    assert source.fingerprint(None) == before  # Downloading changes nothing.
    _check(_load(source, None, is_offline=True), tiny_cifar10)
    (own_cache / "a.tar.gz").write_bytes(content[:-1])
    with pytest.raises(ChecksumError, match=r"a\.tar\.gz is not the published .*Delete it"):
        _load(source, None)


def test_an_unpacked_copy_in_the_cache_is_found(
    source: Cifar10Source, binary_folder: Path, own_cache: Path
) -> None:
    shutil.copytree(binary_folder, own_cache / "cifar-10-batches-bin")
    assert source.available() == str(own_cache / "cifar-10-batches-bin")


def test_the_fingerprint_follows_the_files(source: Cifar10Source, binary_folder: Path) -> None:
    before = source.fingerprint(binary_folder)
    assert source.fingerprint(binary_folder) == before
    (binary_folder / "note.txt").write_text("not one of CIFAR-10's files")
    assert source.fingerprint(binary_folder) == before
    os.utime(binary_folder / "test_batch.bin", (1, 1))
    assert source.fingerprint(binary_folder) != before


def test_other_paths_are_not_recognised(source: Cifar10Source, tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.txt").write_text("")
    assert not source.recognises(tmp_path)
    assert not source.recognises(tmp_path / "missing")
    assert not source.recognises(tmp_path / "data_batch_1.txt")
    with pytest.raises(DataError, match="holds no CIFAR-10"):
        _load(source, tmp_path)


@pytest.mark.cifar10
def test_the_real_data_have_the_published_statistics(cifar10_path: Path) -> None:
    dataset = SOURCE.load(cifar10_path, SourceOptions(), SilentProgress())
    assert dataset.train.counts(10) == (5000,) * 10
    assert dataset.test.counts(10) == (1000,) * 10
    means = dataset.train.images.reshape(-1, 3).mean(axis=0) / 255
    assert means == pytest.approx([0.49140, 0.48216, 0.44653], abs=5e-6)
