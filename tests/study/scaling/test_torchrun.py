"""Trainings that torchrun starts."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ray_nodes import kill, wait_for
from tenfold.core.errors import SettingsError
from tenfold.study.scaling.torchrun import Launch

OPTIONS = (
    "--set", "training.epochs=20", "--set", "training.checkpoint_seconds=0",
    "--set", "training.micro_batches=4", "--set", "tune.is_enabled=false", "--update", "--quiet",
)  # fmt: skip


def test_it_is_known_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert Launch.found() is None
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "3"), ("MASTER_ADDR", "n7")):
        monkeypatch.setenv(name, value)
        assert Launch.found() is None
    monkeypatch.setenv("MASTER_PORT", "29500")
    launch = Launch.found()
    assert launch == Launch(1, 3, "n7", 29500)
    launch.check(3)
    with pytest.raises(SettingsError, match="3 processes"):
        launch.check(2)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Launch.found() is None


@pytest.mark.slow
@pytest.mark.long
def test_its_processes_share_the_training_and_are_started_again(
    run_folder: str, tenfold: Callable[..., Any], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run_folder, other)
    torchrun = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=1",
        "--nproc-per-node=2", "-m", "tenfold",
    ]  # fmt: skip
    shared = subprocess.Popen([*torchrun, "train", "--out", str(other), *OPTIONS])
    wait_for((other / ".train.partial" / ".work" / "checkpoint.safetensors").is_file)
    kill(second_process(shared.pid))
    assert shared.wait(timeout=120) == 0
    assert tenfold("train", "--out", run_folder, *OPTIONS).code == 0
    one, two = (Path(out) / "train" / "weights_last.safetensors" for out in (run_folder, other))
    assert one.read_bytes() == two.read_bytes()


def second_process(agent: int) -> int:
    """Give torchrun's process of rank 1."""
    for process in Path(f"/proc/{agent}/task/{agent}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"\0RANK=1\0" in Path(f"/proc/{process}/environ").read_bytes():
                return int(process)
    raise AssertionError("torchrun has no second process")
