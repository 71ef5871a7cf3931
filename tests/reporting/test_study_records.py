"""Reading a run folder."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tenfold.core.errors import RunFolderError
from tenfold.reporting.study_records import StudyRecords, read_study_records


def _write(records: StudyRecords, folder: Path) -> None:
    folder.mkdir()
    references = [reference.model_dump(mode="json") for reference in records.references]
    settings = {
        "recipe": {"name": records.recipe_name, "title": "A title", "description": "Words."},
        "references": references,
    }
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    for stage, manifest in records.manifests.items():
        if stage != "model":  # the page reads nothing else of it
            record = getattr(records, stage.replace("-", "_"))
            record.write(folder / stage / "record.json")
        manifest.write(folder / stage / "manifest.json")
    if records.explore is not None:
        np.savez(
            folder / "explore" / "samples.npz", images=records.samples, counts=records.sample_counts
        )


def test_everything_is_read_back(builder: SimpleNamespace, tmp_path: Path) -> None:
    records = builder.cifar_study()
    _write(records, tmp_path / "run")
    found = read_study_records(tmp_path / "run")
    assert found.evaluate == records.evaluate
    assert found.cross_validate == records.cross_validate
    assert found.references == records.references
    assert (found.recipe_name, found.recipe_title) == ("report", "A title")
    assert found.samples is not None
    assert np.array_equal(found.samples, records.samples)
    assert found.augmented_images is None
    assert list(found.manifests) == list(records.manifests)


def test_absent_stages_are_none(builder: SimpleNamespace, tmp_path: Path) -> None:
    _write(builder.two_class_study(), tmp_path / "run")
    found = read_study_records(tmp_path / "run")
    assert found.train is not None
    assert (found.explore, found.tune, found.evaluate, found.cross_validate) == (None,) * 4


def test_a_stage_without_manifest_is_not_complete(builder: SimpleNamespace, tmp_path: Path) -> None:
    _write(builder.cifar_study(), tmp_path / "run")
    (tmp_path / "run" / "explore" / "manifest.json").unlink()
    found = read_study_records(tmp_path / "run")
    assert found.explore is None
    assert found.samples is None


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"no settings\.json"):
        read_study_records(tmp_path / "nothing")


def test_damaged_settings(builder: SimpleNamespace, tmp_path: Path) -> None:
    _write(builder.two_class_study(), tmp_path / "run")
    (tmp_path / "run" / "settings.json").write_text("[]", encoding="utf-8")
    with pytest.raises(RunFolderError, match="not readable JSON"):
        read_study_records(tmp_path / "run")


def test_nothing_acquired(builder: SimpleNamespace, tmp_path: Path) -> None:
    _write(builder.two_class_study(), tmp_path / "run")
    (tmp_path / "run" / "acquire" / "manifest.json").unlink()
    with pytest.raises(RunFolderError, match="tenfold acquire --out"):
        read_study_records(tmp_path / "run")


def test_bad_references(builder: SimpleNamespace, tmp_path: Path) -> None:
    _write(builder.two_class_study(), tmp_path / "run")
    (tmp_path / "run" / "settings.json").write_text('{"references": [{"label": "x"}]}')
    with pytest.raises(RunFolderError, match="Each needs a label, a measure and a value"):
        read_study_records(tmp_path / "run")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not an archive"])
def test_damaged_arrays(builder: SimpleNamespace, tmp_path: Path, content: bytes) -> None:
    _write(builder.cifar_study(), tmp_path / "run")
    (tmp_path / "run" / "explore" / "samples.npz").write_bytes(content)
    with pytest.raises(RunFolderError, match="does not hold the arrays images and counts"):
        read_study_records(tmp_path / "run")


def test_pickled_arrays_are_refused(builder: SimpleNamespace, tmp_path: Path) -> None:
    _write(builder.cifar_study(), tmp_path / "run")
    hostile = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "run" / "explore" / "samples.npz", images=hostile, counts=hostile)
    with pytest.raises(RunFolderError, match="does not hold the arrays"):
        read_study_records(tmp_path / "run")
