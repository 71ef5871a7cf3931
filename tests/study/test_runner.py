"""Runs with other seeds: resumable, and shown only as long as they repeat the present study."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tenfold.cli.main import main
from tenfold.core.errors import SettingsError
from tenfold.core.files import sha256_of_file
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.report.records import read_study_records
from tenfold.study.recipe import StudySettings
from tenfold.study.repeats import read_repeats
from tenfold.study.request import StudyRequest
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.processes import Processes
from tenfold.study.scaling.work import Driver, Work
from tenfold.study.study import Study

CHEAP = {"tune.is_enabled": False, "evaluate.robustness_images": 0}

Settings = Callable[..., StudySettings]


@pytest.fixture
def settings(tiny_settings: Settings) -> StudySettings:
    return tiny_settings(CHEAP)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def run(settings: StudySettings, out: Path, *stages: str, runs: int, update: bool = False) -> list:
    """Run stages; give the names of those that were not complete already."""
    outcomes = Study(settings, out, update=update).run(*stages, runs=runs)
    return [outcome.name for outcome in outcomes if outcome.was_run]


def test_every_run_has_its_own_seed_and_the_same_test_images(
    settings: StudySettings, out: Path
) -> None:
    names = run(settings, out, "train", runs=3)
    assert names[-4:] == ["run 2, train", "run 2, evaluate", "run 3, train", "run 3, evaluate"]
    assert "evaluate" in names, "the study's own evaluation is the first run"
    record = read_repeats(out)
    assert [one.seed for one in record.runs] == [settings.seed + n for n in range(3)]
    for one, folder in zip(record.runs, (out, *_further(out, 2, 3)), strict=True):
        scores = EvaluateRecord.read(folder / "evaluate" / "record.json").scores
        assert scores.count == record.test_count
        assert (one.accuracy, one.macro_f1) == (scores.accuracy, scores.macro_f1)
    weights = [
        (f / "train/weights_last.safetensors").read_bytes() for f in (out, *_further(out, 2))
    ]
    assert weights[0] != weights[1]


@pytest.mark.slow
def test_runs_are_the_same_in_processes(settings: StudySettings, out: Path, tmp_path: Path) -> None:
    run(settings, out, "train", runs=3)
    study = Study(settings, tmp_path / "processes", place=Processes(2))
    names = [one.name for one in study.run("train", runs=3) if one.was_run]
    assert names[-4:] == ["run 2, train", "run 2, evaluate", "run 3, train", "run 3, evaluate"]
    assert results_of_runs(tmp_path / "processes") == results_of_runs(out)


def test_a_run_goes_on_from_what_was_sent_to_another_machine(
    settings: StudySettings, out: Path, tmp_path: Path
) -> None:
    """Do the runs as on a cluster: folders under their names elsewhere, files mirrored."""

    class Elsewhere(Here):
        def run(self, work: Work, driver: Driver) -> None:
            far = tmp_path / "far"
            folders = {name: far / "folders" / name for name in work.folders}
            for name, path in work.folders.items():
                shutil.copytree(path, folders[name])
            super().run(replace(work, folder=far / "work", folders=folders), driver)
            shutil.copytree(far / "work", work.folder)
            for task in ("run-2", "run-3"):
                (work.folder / task / ".train.partial" / ".work").mkdir(parents=True)

    run(settings, out, "train", runs=3)
    far = tmp_path / "driver"
    list(Study(settings, far, place=Elsewhere()).run("train", runs=3))
    assert results_of_runs(far) == results_of_runs(out)
    assert not list(far.glob("repeats/run-*/.*"))


def results_of_runs(out: Path) -> dict[str, str]:
    """Give a digest of all that runs left, but for records, which hold seconds."""
    files = sorted(out.glob("repeats/run-*/*/*"))
    assert len({path.parent for path in files}) == 4
    return {
        str(path.relative_to(out)): sha256_of_file(path)
        for path in files
        if path.suffix in {".npz", ".safetensors"}
    }


def test_runs_that_are_done_are_not_repeated(settings: StudySettings, out: Path) -> None:
    run(settings, out, "train", runs=2)
    assert run(settings, out, "train", runs=2) == []
    assert run(settings, out, "train", runs=3) == ["run 3, train", "run 3, evaluate"]
    (out / "repeats/run-2/evaluate/predictions.npz").write_bytes(b"damaged")
    assert run(settings, out, "train", runs=3) == ["run 2, evaluate"]


def test_a_changed_study_has_no_repeats_until_they_are_run_again(
    settings: StudySettings, out: Path
) -> None:
    run(settings, out, "train", runs=2)
    assert run(settings, out, "evaluate", runs=1) == []
    assert (out / "repeats" / "record.json").is_file()
    changed = settings.with_changes({"training.epochs": 1})
    run(changed, out, "evaluate", runs=1, update=True)
    assert read_study_records(out).repeats is None
    assert run(changed, out, "train", runs=2) == ["run 2, train", "run 2, evaluate"]


def test_the_command_prints_mean_and_spread(
    settings: StudySettings,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(settings, out, "evaluate", runs=1)
    monkeypatch.setattr("sys.argv", ["tenfold", "train", "--runs", "2", "--out", str(out)])
    with pytest.raises(SystemExit, match="0"):
        main()
    printed = capsys.readouterr().out
    assert "Over 2 runs the accuracy on the test split is" in printed
    assert "luck of the training" in printed


def test_runs_are_for_what_trains_and_tests() -> None:
    with pytest.raises(SettingsError, match="for run, train and evaluate, not explore"):
        StudyRequest(stages=("explore",), runs=2).resolve()


def _further(out: Path, *runs: int) -> list[Path]:
    return [out / "repeats" / f"run-{run}" for run in runs]
