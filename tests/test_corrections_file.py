"""Corrections on the way from the command line into the run folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.data.corrections import (
    CORRECTIONS,
    adopt_corrections,
    offer_corrections,
    stored_corrections,
)
from tenfold.study.request import StudyRequest


def request(out: Path, corrections: Path | None, data: Path | None = None) -> StudyRequest:
    return StudyRequest(data=None if data is None else str(data), out=out, corrections=corrections)


def test_the_settings_name_the_file_by_its_content(tmp_path: Path, image_folder: Path) -> None:
    file, twin = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_text("id,action\n")
    twin.write_text("id,action\n")
    one, other = (
        request(tmp_path / "run", path, image_folder).resolve().settings.data.corrections
        for path in (file, twin)
    )
    assert one is not None
    assert other is not None
    assert (one.file, other.file) == ("a.csv", "b.csv")
    assert one.sha256 == other.sha256


def test_a_run_folder_keeps_its_corrections_until_told(tmp_path: Path, image_folder: Path) -> None:
    from tenfold.core.run_folder import RunFolder

    file = tmp_path / "a.csv"
    file.write_text("id,action\n")
    out = tmp_path / "run"
    with RunFolder(out) as folder:
        settings = request(out, file, image_folder).resolve().settings
        folder.adopt_settings(settings.flat())
    assert request(out, None).resolve().settings.data.corrections is not None
    assert request(out, Path("none")).resolve().settings.data.corrections is None


def test_a_pipe_is_read_once(tmp_path: Path, image_folder: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"id,action\ntrain/0,drop\n")
    os.close(writing)
    resolved = request(tmp_path / "run", Path(f"/dev/fd/{reading}"), image_folder).resolve()
    os.close(reading)
    assert resolved.corrections == b"id,action\ntrain/0,drop\n"
    corrections = resolved.settings.data.corrections
    assert corrections is not None
    offer_corrections(tmp_path, corrections, resolved.corrections)
    assert not (tmp_path / CORRECTIONS).exists(), "it takes the former one's place when adopted"
    assert stored_corrections(tmp_path, corrections) == resolved.corrections
    adopt_corrections(tmp_path, corrections)
    assert (tmp_path / CORRECTIONS).read_bytes() == resolved.corrections


def test_a_missing_file_is_named(tmp_path: Path, image_folder: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv cannot be read: No such file"):
        request(tmp_path / "run", tmp_path / "gone.csv", image_folder).resolve()
    with pytest.raises(DataError, match=r"cannot be read"):
        request(tmp_path / "run", tmp_path, image_folder).resolve()
