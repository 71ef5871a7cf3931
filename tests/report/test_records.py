"""Reading a run folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.errors import RunFolderError
from tenfold.core.stages import shown_stages
from tenfold.report.records import StudyRecords, read_study_records


@pytest.fixture
def folder(study_folder: Path, tmp_path: Path) -> Path:
    """Give a copy of the real study's run folder."""
    return Path(shutil.copytree(study_folder, tmp_path / "run"))


def test_everything_is_read_back(real_study: StudyRecords, study_folder: Path) -> None:
    assert list(real_study.manifests) == [stage for stage in shown_stages() if stage != "model"]
    assert real_study.run_folder == study_folder
    assert real_study.recipe_name == "report"
    assert real_study.recipe_title
    assert real_study.references
    assert real_study.tune is not None
    assert real_study.cross_validate is not None
    assert real_study.audit is not None
    assert real_study.repeats is not None
    assert real_study.samples is not None
    assert real_study.samples.shape == (4, 3, 24, 24, 3)
    assert real_study.test_labels is not None
    assert real_study.evaluate is not None
    assert len(real_study.test_labels) == real_study.evaluate.scores.count == 44


def test_absent_stages_are_none(folder: Path) -> None:
    for stage in ("explore", "tune", "cross-validate"):
        shutil.rmtree(folder / stage)
    found = read_study_records(folder, shown=("acquire", "train"))
    assert found.train is not None
    absent = (found.explore, found.tune, found.evaluate, found.cross_validate)
    assert absent == (None,) * 4


def test_a_stage_without_manifest_is_not_complete(folder: Path) -> None:
    (folder / "explore" / "manifest.json").unlink()
    found = read_study_records(folder)
    assert found.explore is None
    assert found.samples is None


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"no settings\.json"):
        read_study_records(tmp_path / "nothing")


def test_damaged_settings(folder: Path) -> None:
    (folder / "settings.json").write_text("[]", encoding="utf-8")
    with pytest.raises(RunFolderError, match="not readable JSON"):
        read_study_records(folder)


def test_nothing_acquired(folder: Path) -> None:
    (folder / "acquire" / "manifest.json").unlink()
    with pytest.raises(RunFolderError, match="tenfold acquire --out"):
        read_study_records(folder)


def test_bad_references(folder: Path) -> None:
    (folder / "settings.json").write_text('{"references": [{"label": "x"}]}')
    with pytest.raises(RunFolderError, match="Each needs a label, a measure and a value"):
        read_study_records(folder)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not an archive"])
def test_damaged_arrays(folder: Path, content: bytes) -> None:
    (folder / "explore" / "samples.npz").write_bytes(content)
    with pytest.raises(RunFolderError, match="does not hold the arrays images and counts"):
        read_study_records(folder)


def test_pickled_arrays_are_refused(folder: Path) -> None:
    hostile = np.array([{"a": 1}], dtype=object)
    np.savez(folder / "explore" / "samples.npz", images=hostile, counts=hostile)
    with pytest.raises(RunFolderError, match="does not hold the arrays"):
        read_study_records(folder)
