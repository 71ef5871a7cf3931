from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.source import SOURCES


def test_without_data_the_digits_are_taken_and_cifar10_offered() -> None:
    source, path, sentence = find_source(None)
    assert (source.name, path) == ("digits", None)
    assert "because CIFAR-10 is not on this machine" in sentence
    assert "tenfold run --data cifar10 (downloads 170 MB)" in sentence


def test_without_data_cifar10_is_taken_if_it_is_there(
    binary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_CIFAR10", str(binary_folder))
    source, path, sentence = find_source(None)
    assert (source.name, path) == ("cifar10", None)
    assert str(binary_folder) in sentence
    assert "tenfold run --data digits" in sentence


def test_a_name_is_a_source_even_if_a_folder_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits" / "cat").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_source("digits")[0].name == "digits"
    source, path, _ = find_source("./digits")
    assert (source.name, path) == ("folder", Path("digits"))
    assert "not on this machine yet" in find_source("cifar10")[2]


def test_a_source_without_data_of_its_own_gives_way_to_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_source("idx")[:2] == (SOURCES["idx"], None)
    (tmp_path / "idx" / "cat").mkdir(parents=True)
    assert find_source("idx")[:2] == (SOURCES["folder"], Path("idx"))


def test_cifar10_is_recognised_before_a_folder(binary_folder: Path) -> None:
    (binary_folder / "more").mkdir()
    source, path, sentence = find_source(str(binary_folder))
    assert (source.name, path) == ("cifar10", binary_folder)
    assert str(binary_folder) in sentence


def test_a_misspelt_name_suggests_and_lists() -> None:
    with pytest.raises(DataError, match=r"named 'cifar-10'. Did you mean 'cifar10' or") as caught:
        find_source("cifar-10")
    assert (
        "Sources: archive, cifar10, cifar100, digits, folder, idx, npz, parquet, table, webdataset"
        in str(caught.value)
    )
    assert "train/ and test/" in str(caught.value)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], "it is an empty folder"),
        (["b.jpg", "a.csv"], "it holds a.csv, b.jpg, and no sub-folders"),
        ([f"{n}.jpg" for n in range(10)], "7.jpg and 2 more"),
    ],
)
def test_what_is_not_understood_is_described(tmp_path: Path, files: list[str], found: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    with pytest.raises(DataError, match=found) as caught:
        find_source(str(folder))
    assert "A path may be:" in str(caught.value)


def test_an_impossible_path_is_a_data_error() -> None:
    with pytest.raises(DataError, match="cannot be looked at: File name too long"):
        find_source("long" * 100)


def test_a_file_that_is_no_archive_is_described(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    path.write_bytes(b"1234")
    with pytest.raises(DataError, match=r"it is an archive of 4 bytes.*Unpack it"):
        find_source(str(path))


def _refusal(data: str) -> str:
    with pytest.raises(DataError) as caught:
        find_source(data)
    return str(caught.value)


@pytest.mark.parametrize("name", ["photos.zip", "photos", "photos.jpg.zip"])
def test_zip_archives_are_known_whatever_their_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/1.png", b"1")
    assert find_source(str(path))[0].name == "archive"


def test_a_tar_archive_is_known(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"1")
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(tmp_path / "1.png", "cat/1.png")
    assert find_source(str(path))[0].name == "archive"


@pytest.mark.parametrize("name", ["photos.rar", "photos.7z", "photos.tar.xz"])
def test_other_archives_are_to_be_unpacked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"1234")
    assert "Unpack it" in _refusal(str(tmp_path / name))


@pytest.mark.parametrize("name", ["l.json", "l.feather", "l.xlsx"])
def test_other_tables_are_to_become_csv(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("file,label\n1.png,cat\n")
    assert ".to_csv('labels.csv', index=False)" in _refusal(str(tmp_path / name))
    assert "CIFAR-10's" not in _refusal(str(tmp_path / name))


@pytest.mark.parametrize("name", ["x.pkl", "x.h5", "x.tfrecord", "x.npy"])
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
