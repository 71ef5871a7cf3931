"""When a command began: a time budget counts from there."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.cli.options import run_study
from tenfold.core.records.training import TrainRecord
from tenfold.study.recipe import StudySettings
from tenfold.study.request import StudyRequest
from tenfold.study.study import Study


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_a_command_begins_with_its_process() -> None:
    script = (
        "import time; time.sleep(0.5); before = time.monotonic(); "
        "from tenfold.cli.options import _process_start; print(before - _process_start())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) >= 0.45


def test_a_budget_counts_from_the_commands_start(
    tmp_path: Path, tiny_settings: Callable[..., StudySettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start took longer than the budget: one step is done, no more."""
    settings = tiny_settings({"training.budget_seconds": 50.0, "training.epochs": 100})
    study = Study(settings, tmp_path / "run", started_at=time.monotonic() - 60)
    list(study.run("train"))
    record = TrainRecord.read(tmp_path / "run/train/record.json")
    assert sum(epoch.share for epoch in record.history) < 1


@pytest.mark.parametrize(("budget", "is_said"), [("5s", True), (None, False)])
def test_a_budget_says_that_folds_are_left_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    budget: str | None,
    is_said: bool,
) -> None:
    monkeypatch.setattr(Study, "run", lambda _study, *_stages, **_options: iter(()))
    request = StudyRequest(data="digits", budget=budget, out=tmp_path / "run")
    run_study(request, device="cpu", is_update=False, is_offline=True, is_quiet=False)
    assert ("tenfold cross-validate --out" in capsys.readouterr().err) == is_said
