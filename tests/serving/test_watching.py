"""What of a folder of models is served, and what becomes of bad versions."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import ModelFolderError, SettingsError

pytest.importorskip("fastapi")

from tenfold.serving.watching import WatchedFolder, load_version


def load(path: Path) -> Any:
    """Read a "model": what its file says, unless that is that it is bad."""
    text = (path / "model.onnx").read_text()
    if text == "bad":
        raise ModelFolderError("it is bad.")
    if text == "odd":
        raise ValueError("some library's own error")
    return text


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a version's file."""

    def write(version: str, text: str = "good", name: str = "digits") -> Path:
        folder = tmp_path / name / version
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_text(text)
        return folder

    return write


@pytest.fixture
def watched(tmp_path: Path) -> WatchedFolder:
    return WatchedFolder(tmp_path, load=load)


def steps(watched: WatchedFolder, count: int = 2) -> list[tuple[str, str, Any]]:
    """Give what takes over in some steps; a version has to lie still from one to the next."""
    return [(one.name, one.version, one.served) for _ in range(count) for one in watched.step()]


def first(watched: WatchedFolder) -> list[tuple[str, str]]:
    return [(one.name, one.version) for one in watched.first()]


def test_begins_with_the_highest_of_each(put: Any, watched: WatchedFolder) -> None:
    for version in ("9", "10", "2"):
        put(version)
    put("v1.9", name="clothes")
    put("v1.10", name="clothes")
    put(".writing", name="clothes")
    assert first(watched) == [("clothes", "v1.10"), ("digits", "10")]
    assert steps(watched) == []


def test_a_higher_one_takes_over_when_it_lies_still(put: Any, watched: WatchedFolder) -> None:
    put("1")
    first(watched)
    put("2", "newer")
    assert steps(watched, 1) == [], "it may be written still"
    assert steps(watched, 1) == [("digits", "2", "newer")]
    assert steps(watched) == []


def test_a_lower_one_does_not(put: Any, watched: WatchedFolder) -> None:
    put("5")
    first(watched)
    put("4")
    assert steps(watched, 3) == []


def test_a_bad_one_is_refused_once_and_the_old_goes_on(
    put: Any, watched: WatchedFolder, caplog: Any
) -> None:
    put("1")
    first(watched)
    for text in ("bad", "odd"):
        put("2", text)
        caplog.clear()
        assert steps(watched, 4) == []
        (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
        assert line.startswith("digits, version 2, is refused:")
        assert line.endswith("Version 1 goes on.")
    put("2", "mended")
    assert steps(watched) == [("digits", "2", "mended")]


def test_a_bad_one_at_the_start_leaves_the_next(put: Any, watched: WatchedFolder) -> None:
    put("1")
    put("2", "bad")
    assert first(watched) == [("digits", "1")]


def test_a_changed_one_is_read_again_and_a_bad_change_changes_nothing(
    put: Any, watched: WatchedFolder
) -> None:
    put("1")
    put("2")
    first(watched)
    put("2", "bad")
    assert steps(watched, 3) == [], "nor does version 1 come back"
    put("2", "changed")
    assert steps(watched) == [("digits", "2", "changed")]


def test_one_that_is_taken_back(put: Any, watched: WatchedFolder) -> None:
    put("1", "old")
    folder = put("2")
    first(watched)
    folder.rename(folder.with_name(".2"))
    assert steps(watched) == [("digits", "1", "old")]
    folder.with_name(".2").rename(folder)
    assert steps(watched) == [("digits", "2", "good")]


def test_one_that_is_gone_with_its_folder_goes_on(put: Any, watched: WatchedFolder) -> None:
    folder = put("1")
    first(watched)
    folder.parent.rename(folder.parent.with_name(".digits"))
    assert steps(watched) == []
    watched.folder.rename(watched.folder.with_name("elsewhere"))
    assert steps(watched) == []


def test_a_new_model_appears(put: Any, watched: WatchedFolder) -> None:
    put("1")
    first(watched)
    put("1", name="a new one")
    assert steps(watched) == [("a-new-one", "1", "good")]


@pytest.mark.parametrize("text", [None, "bad"])
def test_nothing_to_serve(text: str | None, put: Any, watched: WatchedFolder) -> None:
    if text is not None:
        put("1", text)
    with pytest.raises(SettingsError, match=r"cannot be served: .*digits/1/model\.onnx"):
        watched.first()


def test_links_that_lead_nowhere(put: Any, watched: WatchedFolder) -> None:
    put("1")
    (watched.folder / "digits" / "3").symlink_to(watched.folder / "none")
    os.symlink(watched.folder / "digits" / "2", watched.folder / "digits" / "2")
    assert first(watched) == [("digits", "1")]


class TestLoading:
    """A version as it is: files, and images that it has to recognise."""

    @pytest.fixture
    def version(self, onnx_content: bytes, tmp_path: Path) -> Path:
        (tmp_path / "model.onnx").write_bytes(onnx_content)
        return tmp_path

    def test_a_folder_with_a_file(self, version: Path, onnx_file: Path) -> None:
        assert load_version(version).model.classes == load_version(onnx_file).model.classes

    def test_a_file_that_is_cut_off(self, version: Path, onnx_content: bytes) -> None:
        (version / "model.onnx").write_bytes(onnx_content[:-100])
        with pytest.raises(ModelFolderError):
            load_version(version)

    def test_images_to_check_with(self, version: Path, make_png: Any) -> None:
        model = load_version(version).model
        content = make_png()
        import io

        import numpy as np
        from PIL import Image

        pixels = np.asarray(Image.open(io.BytesIO(content)))
        right = model.classes[int(model.predict(pixels[None])[0].argmax())]
        wrong = next(name for name in model.classes if name != right)
        file = version / "check" / right / "one.png"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        load_version(version)
        file.parent.rename(version / "check" / wrong)
        with pytest.raises(ModelFolderError, match=rf"of class {wrong} comes out as {right}"):
            load_version(version)
        (version / "check" / wrong).rename(version / "check" / "no class")
        with pytest.raises(ModelFolderError, match="none of its classes"):
            load_version(version)
