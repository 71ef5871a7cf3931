"""Runs with other seeds: resumable, and shown only as long as they repeat the present study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.cli.main import main
from tenfold.core.errors import SettingsError
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.report.records import read_study_records
from tenfold.study.recipe import StudySettings
from tenfold.study.request import StudyRequest
from tenfold.study.runner import read_repeats
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
