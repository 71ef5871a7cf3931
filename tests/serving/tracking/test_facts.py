"""What of a study is logged: named as both take it, and the same for the same study."""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import RunFolderError
from tenfold.core.run_folder import MANIFEST, Manifest
from tenfold.report.records import read_study_records
from tenfold.serving.tracking.facts import safe_name, study_facts, unique_names

TAKEN_BY_MLFLOW = re.compile(r"^[/\w.\- ]*$")


def test_a_study_gives_its_settings_curves_scores_and_files(whole_study: Path) -> None:
    facts = study_facts(whole_study)
    records = read_study_records(whole_study)
    assert records.train is not None
    assert records.evaluate is not None
    assert facts.settings["training.epochs"] == "3"
    assert facts.settings["data.source"] == "folder"
    losses = [epoch.train_loss for epoch in records.train.history]
    assert [point.value for point in facts.curves["train/loss"]] == losses
    assert [point.step for point in facts.curves["train/loss"]] == [1, 2, 3]
    times = [point.at_ms for point in facts.curves["train/loss"]]
    assert times == sorted(times)
    assert facts.scores["test/accuracy"].value == records.evaluate.scores.accuracy
    assert facts.scores["test/accuracy_low"].value == records.evaluate.intervals.accuracy.low
    assert facts.scores["class/dark _ dull/f1"].value == records.evaluate.scores.classes[0].f1
    assert facts.tags["data.train_sha256"] == records.acquire.train_sha256
    assert {"settings.json", "records/evaluate.json", "train/history.csv", "report.html"} <= {
        *facts.files
    }
    assert all(path.is_file() for path in facts.files.values())
    assert list(facts.figures) == ["confusion-matrix"]
    assert facts.missing == ()
    for name in (*facts.scores, *facts.curves):
        assert TAKEN_BY_MLFLOW.match(name)
        assert posixpath.normpath(name) == name


def test_a_study_is_the_same_wherever_it_lies_and_however_much_is_done(
    whole_study: Path, tmp_path: Path
) -> None:
    whole = study_facts(whole_study)
    moved = Path(shutil.move(whole_study, tmp_path / "elsewhere"))
    assert study_facts(moved).digest == whole.digest
    for stage in ("report", "model", "evaluate", "train"):
        shutil.rmtree(moved / stage)
    begun = study_facts(moved)
    assert begun.study == whole.study
    assert begun.digest != whole.digest
    assert begun.training is None
    assert begun.curves == {}
    assert [one.partition(" (")[0] for one in begun.missing] == [
        "curves",
        "scores",
        "the model",
        "figures and page",
    ]


def test_what_is_out_of_date_is_not_logged(whole_study: Path) -> None:
    before = study_facts(whole_study)
    made = Manifest.read(whole_study / "train" / MANIFEST)
    another = {**made.files, "record.json": "f" * 64}
    made.model_copy(update={"files": another}).write(whole_study / "train" / MANIFEST)
    facts = study_facts(whole_study)
    assert facts.study == before.study
    assert facts.training != before.training
    assert facts.model is None
    assert "test/accuracy" not in facts.scores


def test_a_time_that_is_none_and_a_folder_without_a_study_are_said(
    whole_study: Path, tmp_path: Path
) -> None:
    path = whole_study / "train" / MANIFEST
    Manifest.read(path).model_copy(update={"started": "yesterday"}).write(path)
    with pytest.raises(RunFolderError, match="yesterday"):
        study_facts(whole_study)
    with pytest.raises(RunFolderError):
        study_facts(tmp_path / "nothing")


@given(st.text())
def test_names_are_such_as_mlflow_takes(text: str) -> None:
    name = safe_name(text)
    assert TAKEN_BY_MLFLOW.match(name)
    assert posixpath.normpath(f"class/{name}/f1") == f"class/{name}/f1"


@given(st.lists(st.text(max_size=3)))
def test_names_stay_apart(names: list[str]) -> None:
    assert len({*unique_names(iter(names))}) == len(names)
