"""A small study on a cluster of two nodes whose workers, node and driver are killed meanwhile."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ray_nodes import RayNodes, kill
from tenfold.core.records.tuning import TuneRecord
from tenfold.study.recipe import StudySettings, load_recipe

KINDS = ("worker", "node", "driver")
_SECONDS_BETWEEN_LOOKS = 0.02
_MOST_ATTEMPTS_WITHOUT_KILL = 3


def make_study(folder: Path, *, trials: int, epochs: int) -> StudySettings:
    """Give the settings of a search and two folds over 36 images, whatever order trials end in."""
    from PIL import Image

    generator = np.random.default_rng(5)
    for brightness, name in enumerate(("dark", "gray", "light")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(12):
            pixels = generator.integers(80 * brightness, 80 * brightness + 90, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    changes = {
        "data.source": "folder",
        "data.location": str(folder.resolve()),
        "model.conv_layers": 1,
        "model.filters": [2],
        "model.units": 4,
        "training.epochs": epochs,
        "training.batch_size": 8,
        "training.precision": "float32",
        "training.checkpoint_seconds": 0.1,
        "tune.trials": trials,
        "tune.epochs": epochs,
        "tune.batch_size": 8,
        "tune.pruner": "none",
        "tune.sampler": "random",
        "tune.space": [{"name": "model.units", "low": 2, "high": 64, "step": 2}],
        "cross_validate.folds": 2,
        "cross_validate.protocols": ["fresh"],
    }
    return load_recipe("cnn").with_changes(changes)


def command(out: Path, settings: StudySettings, *options: str) -> list[str]:
    """Give the command that does the study's search and folds, or goes on with them."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.json").write_text(json.dumps(settings.flat()))
    here = "--out", str(out), "--quiet", "--device", "cpu"
    return [sys.executable, "-m", "tenfold", "cross-validate", *here, *options]


def results(out: Path) -> tuple[list[Any], dict[str, str]]:
    """Give what was found: trials but for their times, and digests of what the folds left."""
    record = TuneRecord.read(out / "tune" / "record.json")
    assert [trial.number for trial in record.trials] == list(range(len(record.trials)))
    trials = [(t.parameters, t.state, t.value, t.epochs) for t in record.trials]
    files = sorted((out / "cross-validate").glob("*_f*"))
    assert files
    return trials, {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass
class Killer:
    """Runs a command until it succeeds, and kills something of it at random moments.

    Parameters
    ----------
    nodes
        The cluster.
    generator
        Chooses when, and which worker.
    seconds_between
        The least and the most between two kills.
    say
        Told of each kill.
    """

    nodes: RayNodes
    generator: random.Random
    seconds_between: tuple[float, float] = (0.0, 4.0)
    say: Callable[[str], object] = lambda _what: None
    killed: list[str] = field(default_factory=list)
    """What was killed, of all runs."""
    printed: str = ""
    """By all commands, on standard output."""

    def run(self, command: list[str], kinds: Iterable[str]) -> None:
        """Run the command, and kill such things one after the other until it succeeds."""
        left, failures = list(kinds)[::-1], 0
        while True:
            before = len(self.killed)
            driver = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            while driver.poll() is None:
                if left:
                    if self._kill(left[-1], driver):
                        left.pop()
                else:
                    driver.wait()
            output, errors = driver.communicate()
            self.printed += output
            if driver.returncode == 0:
                return
            if driver.returncode != -9:
                self.say(f"the command ended with {driver.returncode}: {errors.strip()}")
                failures = 0 if len(self.killed) > before else failures + 1
            assert failures < _MOST_ATTEMPTS_WITHOUT_KILL, errors

    def _kill(self, kind: str, driver: subprocess.Popen[str]) -> bool:
        """Kill something when its time has come; say whether the command ran until then."""
        end = time.monotonic() + self.generator.uniform(*self.seconds_between)
        while time.monotonic() < end or (kind == "worker" and not self.nodes.workers()):
            if driver.poll() is not None:
                return False
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if kind == "worker":
            if workers := self.nodes.workers():
                kill(self.generator.choice(workers))
        elif kind == "node":
            self.nodes.kill_node(self.nodes.second)
            self.nodes.start(self.nodes.second)
        else:
            driver.kill()
            driver.wait()
        self.killed.append(kind)
        self.say(f"kill {len(self.killed)}: {kind}")
        return True
