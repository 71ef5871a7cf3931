from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.folder import SOURCE
from tenfold.data.sources.folder_files import FolderScan
from tenfold.data.sources.folder_layout import read_layout
from tenfold.study.recipe import load_recipe

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
