"""A search in several processes, any of which may be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.records.tuning import TuneRecord
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.work import function_name
from tenfold.study.search.trials import trial_worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, sends signals"),
]
TRIALS = 3
EPOCHS = 120


@pytest.fixture
def folder(tiny_settings: Callable[..., StudySettings], tmp_path: Path) -> Path:
    """Give the folder of a study whose trials last long enough to be killed in their midst."""
    settings = tiny_settings(
        {
            "tune.trials": TRIALS,
            "tune.epochs": EPOCHS,
            "tune.pruner": "none",
            "tune.sampler": "random",
            "training.checkpoint_seconds": 0.05,
        }
    )
    out = tmp_path / "run"
    out.mkdir()
    (out / "settings.json").write_text(json.dumps(settings.flat()))
    return out


def start(out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tenfold", "tune", "--out", str(out), "--jobs", "2", "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers(parent: int) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes()
            status = (process / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if function_name(trial_worker).encode() in command and status[1] == str(parent) != "Z":
            found.append(int(process.name))
    return found


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(what: Callable[[], Any], *, seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
    return found


def in_mid_trial(out: Path, process: subprocess.Popen[str]) -> list[int]:
    """Wait until both processes train, and give them."""
    work = out / ".tune.partial" / ".work"
    wait_for(lambda: len(list(work.glob("trial_*.safetensors"))) == 2 or process.poll())
    assert process.poll() is None, process.communicate()
    return workers(process.pid)


def check(out: Path) -> TuneRecord:
    record = TuneRecord.read(out / "tune" / "record.json")
    assert [trial.number for trial in record.trials] == list(range(TRIALS))
    assert {trial.state for trial in record.trials} == {"complete"}
    assert {trial.epochs for trial in record.trials} == {EPOCHS}
    assert record.jobs == 2
    return record


def test_a_worker_and_then_the_parent_killed_in_mid_trial(folder: Path) -> None:
    process = start(folder)
    victims = in_mid_trial(folder, process)
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    # A new process takes its place and its trial.
    wait_for(lambda: set(workers(process.pid)) - set(victims) or process.poll() is not None)
    victims = workers(process.pid)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(is_running(victim) for victim in victims), seconds=10)
    again = start(folder)
    _, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    check(folder)
