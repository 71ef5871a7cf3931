from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.data.sources.finding import find_source


def _refusal(data: str) -> str:
    with pytest.raises(DataError) as caught:
        find_source(data)
    return str(caught.value)


@pytest.mark.parametrize("name", ["photos.zip", "photos", "photos.jpg.zip"])
def test_archives_are_to_be_unpacked_whatever_their_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/1.png", b"1")
    assert "ZIP archive" in _refusal(str(path))
    assert "Unpack it" in _refusal(str(path))


def test_a_tar_archive_of_pictures_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"1")
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(tmp_path / "1.png", "cat/1.png")
    assert "a tar archive" in _refusal(str(path))


@pytest.mark.parametrize("name", ["labels.csv", "l.tsv", "l.json", "l.parquet", "l.xlsx"])
def test_labels_in_a_table_are_to_become_folders(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("file,label\n1.png,cat\n")
    assert "make one folder a class" in _refusal(str(tmp_path / name))
    assert "CIFAR-10's" not in _refusal(str(tmp_path / name))


@pytest.mark.parametrize("name", ["x.npz", "x.pkl", "x.h5", "x.tfrecord", "x.npy"])
def test_arrays_and_pictures_are_named_as_such(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"1234")
    assert "ImageClassifier" in _refusal(str(tmp_path / name))


def test_one_picture_is_to_be_predicted(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"1234")
    assert "tenfold predict MODEL" in _refusal(str(tmp_path / "x.jpg"))


def test_a_folder_of_archives_or_pictures_alone_is_explained(tmp_path: Path) -> None:
    (tmp_path / "train.zip").touch()
    assert "Unpack the archives" in _refusal(str(tmp_path))
    (tmp_path / "1.png").touch()
    assert "make one folder a class" in _refusal(str(tmp_path))


@pytest.mark.parametrize("data", ["", " ", "\t"])
def test_an_empty_name_is_no_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / data.strip() / "dog").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "--data is empty" in _refusal(data)


def test_an_address_is_to_be_downloaded_first() -> None:
    assert "download it" in _refusal("https://example.org/photos.zip")
