from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.data.sources.folder_files import FolderScan, is_image_name, natural_key, sub_folders


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_numbers_sort_as_numbers_and_letters_whatever_their_case() -> None:
    names = ["b", "10", "A", "2", "c10", "c9", "1"]
    assert sorted(names, key=natural_key) == ["1", "2", "10", "A", "b", "c9", "c10"]


@given(names=st.lists(st.text(max_size=6), unique=True))
def test_any_names_have_one_order(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


def test_images_are_found_at_any_depth_and_the_rest_counted(tmp_path: Path) -> None:
    _touch(
        *(
            tmp_path / name
            for name in (
                "10.PNG",
                "2.jpeg",
                "deep/er/1.webp",
                "notes.txt",
                "Thumbs.db",
                ".DS_Store",
                ".hidden/1.png",
                "__MACOSX/1.png",
            )
        )
    )
    scan = FolderScan()
    found = [path.relative_to(tmp_path).as_posix() for path in scan.images_below(tmp_path)]
    assert found == ["2.jpeg", "10.PNG", "deep/er/1.webp"]
    assert scan.ignored == 2
    assert scan.left_out == []


def test_loops_of_links_end(tmp_path: Path) -> None:
    _touch(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "cat" / "self").symlink_to(tmp_path / "cat" / "self")
    scan = FolderScan()
    assert len(scan.images_below(tmp_path)) == 1
    assert len(sub_folders(tmp_path / "cat")) == 1


def test_a_folder_that_may_not_be_read_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(tmp_path / "closed" / "1.png", tmp_path / "open" / "2.png")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    scan = FolderScan()
    assert [path.name for path in scan.images_below(tmp_path)] == ["2.png"]
    assert [(Path(entry.path).name, entry.reason) for entry in scan.left_out] == [
        ("closed", "Permission denied")
    ]


def test_names_that_differ_in_unicode_form_are_one_class(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "café")
    _touch(
        tmp_path / composed / "1.png",
        tmp_path / unicodedata.normalize("NFD", composed) / "2.png",
        tmp_path / "stray.png",
        tmp_path / "readme.md",
    )
    tree = FolderScan().tree(tmp_path)
    assert [folder.name for folder in tree.folders] == [composed, composed]
    assert (len(tree.images), tree.others) == (1, {".md": 1})


def test_image_names() -> None:
    assert is_image_name("a.b.JPG")
    assert not is_image_name("jpg")
    assert not is_image_name("a.jpg.txt")
