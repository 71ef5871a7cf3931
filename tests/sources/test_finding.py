from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.data.sources.finding import find_source


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


def test_cifar10_is_recognised_before_a_folder(binary_folder: Path) -> None:
    (binary_folder / "more").mkdir()
    source, path, sentence = find_source(str(binary_folder))
    assert (source.name, path) == ("cifar10", binary_folder)
    assert str(binary_folder) in sentence


def test_a_misspelt_name_suggests_and_lists() -> None:
    with pytest.raises(DataError, match=r"named 'cifar-10'. Did you mean 'cifar10'\?") as caught:
        find_source("cifar-10")
    assert "Sources: cifar10, digits, folder" in str(caught.value)
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
