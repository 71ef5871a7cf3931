"""A study that is killed again and again ends as one that was not, bit for bit."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.stages import stage_order

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sends Unix signals"),
]

SETTINGS = (
    "model.filters=[4, 4]",
    "model.conv_layers=2",
    "model.units=8",
    "training.epochs=4",
    "training.batch_size=128",
    "training.weights=best",
    "training.checkpoint_seconds=0",
    "tune.trials=4",
    "tune.executions_per_trial=2",
    "tune.epochs=2",
    "tune.batch_size=128",
    'tune.space=["training.learning_rate", "model.units"]',
    "cross_validate.folds=2",
    'cross_validate.protocols=["fresh", "warm-start"]',
    "cross_validate.epochs=2",
    "cross_validate.warm_start.epochs=1",
    "cross_validate.warm_start.batch_size=128",
)


@dataclass(frozen=True)
class Moment:
    """When to stop: up to `most_seconds` after the stage wrote a file that matches `sign`."""

    stage: str
    sign: str
    most_seconds: float
    signal: signal.Signals = signal.SIGKILL


BEGUN = ".work/attempts.json"
MOMENTS = (
    Moment("acquire", BEGUN, 0.02),
    Moment("explore", BEGUN, 0.02),
    Moment("tune", BEGUN, 0.1),
    Moment("tune", ".work/trial_0_execution_1.safetensors", 0.1),
    Moment("tune", ".work/trial_1_*.json", 0.3),
    Moment("tune", ".work/trial_2_*.safetensors", 0.2),
    Moment("train", BEGUN, 0.1),
    Moment("train", ".work/checkpoint.safetensors", 0.2),
    Moment("train", ".work/checkpoint.safetensors", 0.1),
    Moment("train", ".work/checkpoint.safetensors", 0.05, signal.SIGINT),
    Moment("evaluate", BEGUN, 0.01),
    Moment("cross-validate", ".work/fresh_1.safetensors", 0.1),
    Moment("cross-validate", ".work/fresh_2.safetensors", 0.1),
    Moment("cross-validate", ".work/warm-start_1.json", 0.1),
    Moment("audit", BEGUN, 0.05),
    Moment("model", BEGUN, 0.01),
    Moment("report", BEGUN, 0.5),
)
_TRIES = 5  # a short stage may be over before the signal arrives
_KILLS_AT_ANY_TIME = 6
_CHANGES_FROM_RUN_TO_RUN = {"seconds", "images_per_second", "digest", "README.md"}
"""The model card tells the seconds, so its hash in ``model.json`` changes too."""

# Most of the command's time is the import of its libraries, so most processes are forked from one
# that did it; nothing has computed there, so a fork is as good as new.
_FORKING = """
import os, sys
from tenfold.cli import main, terminal
from tenfold.study import request, study
from tenfold.core.stages import stage_order
stage_order()
import sklearn.datasets, sklearn.ensemble, sklearn.metrics, sklearn.model_selection, torch._dynamo
sys.argv[0] = "tenfold"
while sys.stdin.buffer.raw.read(1):
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        try:
            main.main()
        except SystemExit as stop:
            os._exit(stop.code or 0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def arguments(out: Path) -> list[str]:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return ["run", "--recipe", "cnn", "--data", "digits", "--out", str(out), *settings]


def start(out: Path, *, core: int) -> subprocess.Popen[str]:
    """Start the real command, on one core: such small networks gain nothing from more."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tenfold", *arguments(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.sched_setaffinity(process.pid, {sorted(os.sched_getaffinity(0))[core]})
    return process


def finish(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.startswith("Report: ")


class Victim:
    """The command for one run folder, in one process after the other."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.log = out.with_suffix(".log")
        with self.log.open("wb") as log:
            self._parent = subprocess.Popen(
                [sys.executable, "-c", _FORKING, *arguments(out)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )
        os.sched_setaffinity(self._parent.pid, {sorted(os.sched_getaffinity(0))[0]})
        self._child = 0

    def start(self) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.write(b"x")
        self._child = int(self._line())

    def has_ended(self, *, within_seconds: float) -> bool:
        return bool(select.select([self._parent.stdout], [], [], within_seconds)[0])

    def stop(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end, and give the exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, number)
        return int(self._line())

    def stop_at(self, moment: Moment, generator: random.Random) -> bool:
        """Run until the moment; say whether the signal came in the midst of the stage."""
        partial = self.out / f".{moment.stage}.partial"
        before = _times(partial, moment.sign)
        self.start()
        while _times(partial, moment.sign).items() <= before.items():
            if self.has_ended(within_seconds=0.0005):
                assert int(self._line()) == 0, self.log.read_text()
                return False
        self.has_ended(within_seconds=generator.uniform(0, moment.most_seconds))
        code = self.stop(moment.signal)
        if moment.signal == signal.SIGINT and partial.exists():
            assert code == 130
            last = self.log.read_text().splitlines()[-1]
            assert last.startswith("Stopped. What is complete is kept; to go on, run again: ten")
        return partial.exists()

    def close(self) -> None:
        self._parent.kill()
        self._parent.communicate()
        assert "Traceback" not in self.log.read_text()

    def _line(self) -> bytes:
        assert self._parent.stdout is not None
        line = self._parent.stdout.readline()
        assert line, self.log.read_text()
        return line


def _times(folder: Path, pattern: str) -> dict[Path, int]:
    times = {}
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # renamed or removed meanwhile
            times[path] = path.stat().st_mtime_ns
    return times


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    finish(start(out, core=-1))
    return out


@pytest.fixture(scope="module")
def killed_in_every_stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a study that was stopped at every one of the moments, in turn, and then ended."""
    out = tmp_path_factory.mktemp("killed") / "run"
    generator = random.Random(20)
    with contextlib.closing(Victim(out)) as victim:
        for moment in MOMENTS:
            for _ in range(_TRIES):
                if victim.stop_at(moment, generator):
                    break
                shutil.rmtree(out / moment.stage)  # missed: make the stage again
            else:
                pytest.fail(f"{moment} was missed {_TRIES} times")
    finish(start(out, core=0))
    return out


@pytest.fixture(scope="module")
def killed_at_any_time(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a study that was killed many times, whatever it was doing, and then ended."""
    out = tmp_path_factory.mktemp("killed") / "run"
    generator = random.Random(21)
    with contextlib.closing(Victim(out)) as victim:
        for _ in range(_KILLS_AT_ANY_TIME):
            victim.start()
            victim.has_ended(within_seconds=generator.uniform(0, 0.4))
            victim.stop(signal.SIGKILL)
    finish(start(out, core=0))
    return out


@pytest.fixture(params=["in every stage", pytest.param("at any time", marks=pytest.mark.long)])
def killed(request: pytest.FixtureRequest) -> Path:
    out: Path = request.getfixturevalue(f"killed_{request.param.replace(' ', '_')}")
    return out


def test_every_stage_was_killed_in_its_midst(killed_in_every_stage: Path, unbroken: Path) -> None:
    for stage in stage_order():
        attempts = [
            json.loads((out / stage / "manifest.json").read_text())["attempts"]
            for out in (killed_in_every_stage, unbroken)
        ]
        kills = sum(moment.stage == stage for moment in MOMENTS)
        # A missed moment makes the stage again, which forgets the kills before it.
        assert 1 + min(kills, 1) <= attempts[0] <= 1 + kills, stage
        assert attempts[1] == 1, stage


def test_both_hold_the_same_files_and_nothing_half_made(killed: Path, unbroken: Path) -> None:
    def files(out: Path) -> list[str]:
        return sorted(path.relative_to(out).as_posix() for path in out.rglob("*"))

    assert files(killed) == files(unbroken)
    assert not [name for name in files(killed) if ".part" in name or ".work" in name]


def test_the_weights_are_the_same_bit_for_bit(killed: Path, unbroken: Path) -> None:
    for name in ("weights_last.safetensors", "weights_best.safetensors"):
        assert (killed / "train" / name).read_bytes() == (unbroken / "train" / name).read_bytes()
    for path in unbroken.glob("cross-validate/weights_fold_*"):
        assert (killed / "cross-validate" / path.name).read_bytes() == path.read_bytes()
    for name in ("weights.safetensors", "neighbours.safetensors"):
        assert (killed / "model" / name).read_bytes() == (unbroken / "model" / name).read_bytes()


def test_all_arrays_are_the_same_bit_for_bit(killed: Path, unbroken: Path) -> None:
    """Images, groups, samples, test predictions and features, galleries, out-of-fold, audit."""
    names = [path.relative_to(unbroken) for path in unbroken.rglob("*.np[yz]")]
    assert len(names) == 4 + 1 + 2 + 4 + 2 + 1
    for name in names:
        ours, theirs = (_arrays(out / name) for out in (killed, unbroken))
        assert ours.keys() == theirs.keys()
        for key, array in ours.items():
            assert array.dtype == theirs[key].dtype
            assert array.shape == theirs[key].shape
            assert array.tobytes() == theirs[key].tobytes(), f"{name}: {key}"


def test_all_records_are_the_same_but_for_the_time_it_took(killed: Path, unbroken: Path) -> None:
    """Trials, histories, scores and all else."""
    for stage in stage_order()[:-1]:  # the report has none
        name = "model.json" if stage == "model" else "record.json"
        ours, theirs = (
            _without_times(json.loads((out / stage / name).read_text()))
            for out in (killed, unbroken)
        )
        assert ours == theirs
    trials = json.loads((killed / "tune" / "record.json").read_text())["trials"]
    assert len({json.dumps(trial["parameters"]) for trial in trials}) == 4
    histories = [_history(out / "train" / "history.csv") for out in (killed, unbroken)]
    assert histories[0] == histories[1]


def _arrays(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        return dict(stored.items()) if path.suffix == ".npz" else {"": stored}


def _without_times(values: Any) -> Any:
    if isinstance(values, dict):
        return {
            key: _without_times(value)
            for key, value in values.items()
            if key not in _CHANGES_FROM_RUN_TO_RUN
        }
    return [_without_times(value) for value in values] if isinstance(values, list) else values


def _history(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [_without_times(row) for row in csv.DictReader(file)]
