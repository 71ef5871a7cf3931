from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.folder import SOURCE
from tenfold.data.sources.folder_files import FolderScan, is_image_name, natural_key, sub_folders
from tenfold.data.sources.folder_layout import read_layout
from tenfold.study.recipe import load_recipe


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


Tree = Callable[..., Path]


def _write_run(folder: Path, *, has_settings: bool = True) -> None:
    """Write what a study leaves, as far as it has pictures in it."""
    figures = folder / "report" / "figures"
    figures.mkdir(parents=True)
    for name in ("confusion.png", "history.png"):
        (figures / name).write_bytes(b"a picture")
    manifest = {"stage": "report", "fingerprint": "", "settings": {}, "inputs": {}, "files": {}}
    (folder / "report" / "manifest.json").write_text(json.dumps(manifest))
    if has_settings:
        (folder / "settings.json").write_text(json.dumps(load_recipe("fast").flat()))


def _write_model(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text('{"format_version": 1, "classes": ["a"], "files": {}}')
    (folder / "picture.png").touch()


def _write_explanations(folder: Path) -> None:
    (folder / "explained_images").mkdir(parents=True)
    (folder / "explained_images" / "1.png").touch()
    (folder / "index.html").touch()


def _classes(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        (root / name / "1.png").touch()


@pytest.mark.parametrize("write", [_write_run, _write_model, _write_explanations])
@pytest.mark.parametrize("place", ["runs/fast-folder", "run1", "cat/runs/x"])
def test_what_tenfold_wrote_is_no_part_of_the_data(
    tmp_path: Path, write: Callable[[Path], None], place: str
) -> None:
    _classes(tmp_path)
    before = SOURCE.fingerprint(tmp_path)
    write(tmp_path / place)
    layout = read_layout(tmp_path)
    assert list(layout.train) == ["cat", "dog"]
    assert [len(files) for files in layout.train.values()] == [1, 1]
    assert layout.empty == {}
    assert any(place in note for note in layout.notes)
    assert SOURCE.fingerprint(tmp_path) == before
    assert len(FolderScan().images_below(tmp_path)) == 2  # nor of what is predicted


def test_a_stage_without_its_settings_is_left_out_too(tmp_path: Path) -> None:
    _classes(tmp_path)
    _write_run(tmp_path / "old", has_settings=False)
    assert list(read_layout(tmp_path).train) == ["cat", "dog"]


def test_files_of_others_with_these_names_are_not_mistaken(tmp_path: Path) -> None:
    _classes(tmp_path)
    for name in ("settings.json", "manifest.json", "model.json"):
        (tmp_path / "cat" / name).write_text('{"stage": 1}')
        (tmp_path / "dog" / name).write_text("[" * 100_000)
    assert list(read_layout(tmp_path).train) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_write_run, r"is a run folder.*tenfold run --out"),
        (_write_model, r"is a model folder.*tenfold predict"),
        (_write_explanations, r"is a folder of explanations"),
    ],
)
def test_a_folder_of_tenfold_is_no_data_set(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "own")
    with pytest.raises(DataError, match=message):
        find_source(str(tmp_path / "own"))


def test_a_folder_of_run_folders_alone_has_no_images(tmp_path: Path) -> None:
    _write_run(tmp_path / "runs" / "a")
    with pytest.raises(DataError, match="no images in it but those of tenfold's own folders"):
        read_layout(tmp_path / "runs")
