"""One training shared by several workers: the same bits, whoever dies."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_nodes import kill, wait_for
from tenfold.core.errors import DeviceError, SettingsError, TrainingError
from tenfold.core.progress import SilentProgress
from tenfold.study.prepared_training import PreparedTraining
from tenfold.study.recipe import StudySettings, load_recipe
from tenfold.study.request import StudyRequest
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.packing import Values
from tenfold.study.scaling.processes import Processes
from tenfold.study.scaling.sharing import SharedPlace
from tenfold.study.scaling.work import Driver, Place, Task, Work
from tenfold.study.shared_training import (
    MICRO_BATCHES,
    SharedTraining,
    check_devices,
    check_workers,
)
from tenfold.study.study import Study
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.device import Device
from tenfold.training.fit import fit_network
from tenfold.training.worker_group import GlooGroup, PeerLostError
from worker_threads import DeathError, WorkerThreads

CPU = Device("cpu", "a processor", 1)
VARIANTS: dict[str, dict[str, Any]] = {
    "muon-ema": {"optimizer": "muon", "averaging": "ema", "augmentation": "crop-flip+mixup"},
    "sgd-swa": {"optimizer": "sgd", "momentum": 0.9, "averaging": "swa", "gradient_clip_norm": 0.5},
    "adamw": {"optimizer": "adamw", "label_smoothing": 0.1, "rebalance": "inverse"},
    "rmsprop": {"optimizer": "rmsprop", "schedule": "plateau", "weights": "best"},
}
Train = Callable[..., dict[str, Any]]


@pytest.fixture
def train(tiny_settings: Callable[..., StudySettings], tmp_path: Path) -> Train:
    """Give a function that trains with a number of workers, and gives what came out."""
    acquired: list[Path] = []

    def run(
        changes: Mapping[str, Any] | None = None,
        *,
        workers: int = 1,
        crew: Place | None = None,
        checkpoint: Path | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        values = {"micro_batches": 4, "batch_size": 10} | (changes or {})
        settings = tiny_settings(
            {"model.has_batch_norm": True}
            | {f"training.{name}": value for name, value in values.items()}
        )
        if not acquired:
            list(Study(settings, tmp_path / "study").run("acquire"))
            acquired.append(tmp_path / "study" / "acquire")
        prepared = PreparedTraining.read(settings, acquired[0], CPU)
        place = SharedPlace(Here(), crew or WorkerThreads(), workers)
        shared = SharedTraining(
            place, settings, acquired[0], CPU, tmp_path / "work", SilentProgress(), **options
        )
        path = checkpoint or tmp_path / f"{workers}" / "checkpoint.safetensors"
        fitted = fit_network(
            replace(prepared.trainer, checkpoint=Checkpoint(path)),
            prepared.plan,
            prepared.train,
            prepared.validation,
            shared_by=None if workers == 1 else shared.run,
        )
        path.unlink(missing_ok=True)
        digest = hashlib.sha256()
        for weights in (fitted.last_weights, fitted.best_weights):
            for name, tensor in sorted(weights.items()):
                digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
        history = [record.model_dump(exclude={"seconds"}) for record in fitted.history]
        return {"sha256": digest.hexdigest(), "history": history}

    return run


@pytest.mark.parametrize(
    "variant",
    [
        "muon-ema",
        pytest.param("sgd-swa", marks=pytest.mark.slow),
        pytest.param("adamw", marks=[pytest.mark.slow, pytest.mark.long]),
        pytest.param("rmsprop", marks=[pytest.mark.slow, pytest.mark.long]),
    ],
)
def test_any_number_of_workers_gives_the_same_bits(train: Train, variant: str) -> None:
    alone = train(VARIANTS[variant])
    for workers in (2, 3, 4):
        assert train(VARIANTS[variant], workers=workers) == alone


def test_other_micro_batches_give_other_bits(train: Train) -> None:
    assert train({"micro_batches": 2})["sha256"] != train({"micro_batches": 4})["sha256"]


@pytest.mark.parametrize(
    "deaths",
    [
        {"Worker 2": [7]},
        pytest.param(
            {"Worker 1": [4, 9], "Worker 2": [3], "Worker 3": [12]},
            marks=[pytest.mark.slow, pytest.mark.long],
        ),
    ],
)
def test_workers_that_die_change_no_bit(
    train: Train, deaths: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    count: Counter[str] = Counter()
    exchange = GlooGroup._exchange

    def exchange_or_die(*arguments: Any) -> None:
        name = threading.current_thread().name
        count[name] += 1
        if count[name] in deaths.get(name, []):
            raise DeathError
        exchange(*arguments)

    alone, crew = train(), WorkerThreads()
    monkeypatch.setattr(GlooGroup, "_exchange", exchange_or_die)
    assert train({"checkpoint_seconds": 0}, workers=3, crew=crew) == alone
    assert sorted(crew.deaths) == sorted(name for name in deaths for _ in deaths[name])


def test_who_comes_late_joins_and_who_never_comes_is_not_waited_for(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    crew = WorkerThreads(jobs=1)
    joins = GlooGroup.__init__

    def join(group: GlooGroup, inner: Any, rank: int, size: int) -> None:
        sizes.append(size)
        crew.jobs = 2  # of 3 that were asked for
        joins(group, inner, rank, size)

    alone = train()
    monkeypatch.setattr(GlooGroup, "__init__", join)
    many = {"checkpoint_seconds": 0, "epochs": 2}
    assert train(many, workers=3, crew=crew, seconds_for_the_others=0.01) == alone
    assert sizes == [1, 2, 2]


def test_one_group_is_at_work_at_a_time(train: Train) -> None:
    """Who comes late waits for a state, and a state of an older group is nobody's."""

    class Scripted:
        jobs = 2

        def run(self, work: Work, driver: Driver) -> None:
            first, second = (driver.next_task() for _ in range(2))
            assert first is not None
            assert second is not None

            def meet(task: Task) -> Values:
                return driver.on_ask(task, {"about": "meeting", "reason": ""})

            def send(state: bytes, meeting: str, *, is_end: bool = False) -> Values:
                values = {"state": state, "meeting": meeting, "is_end": is_end}
                return driver.on_ask(first, {"about": "state", **values})

            alone = meet(first)
            assert (alone["rank"], alone["size"]) == (0, 1)
            assert not meet(second)
            assert not meet(second)
            assert send(alone["state"], alone["name"]) == {"meet_anew": True}
            both = meet(first), meet(second)
            assert [(one["rank"], one["size"]) for one in both] == [(0, 2), (1, 2)]
            assert send(b"an old group's", alone["name"]) == {"meet_anew": True}
            assert send(alone["state"], both[0]["name"]) == {"meet_anew": False}
            again = meet(second)  # it lost the first, which does not come back
            assert (again["rank"], again["size"], again["state"]) == (0, 1, alone["state"])
            send(alone["state"], again["name"], is_end=True)
            assert meet(second) == {"is_over": True}

    found = train(workers=2, crew=Scripted(), seconds_for_the_others=0.0)
    assert found == train()


def test_a_driver_that_was_stopped_goes_on(train: Train, tmp_path: Path) -> None:
    class Stopped(WorkerThreads):
        def run(self, work: Work, driver: Driver) -> None:
            states = 0

            def answer(task: Task, question: Values) -> Values:
                nonlocal states
                states += question["about"] == "state"
                if states == 4:
                    raise KeyboardInterrupt
                return driver.on_ask(task, question)

            super().run(work, replace(driver, on_ask=answer))

    kept = tmp_path / "kept.safetensors"
    options = {"workers": 2, "checkpoint": kept}
    with pytest.raises(KeyboardInterrupt):
        train({"checkpoint_seconds": 0}, crew=Stopped(), **options)
    assert kept.is_file()
    assert train(**options) == train()


def test_workers_that_never_get_on_are_an_error(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise PeerLostError("No route to host")

    monkeypatch.setattr(GlooGroup, "_exchange", lost)
    with pytest.raises(TrainingError, match="No route to host"):
        train(workers=2)


def test_what_a_worker_raises_is_what_the_driver_raises(train: Train) -> None:
    with pytest.raises(TrainingError, match="diverged"):
        train({"optimizer": "sgd", "learning_rate": 1000.0, "epochs": 20}, workers=2)


@pytest.mark.parametrize(
    ("changes", "workers", "words"),
    [
        ({"training.micro_batches": 4}, 5, "--workers 5 is more than a batch has micro-batches"),
        ({"training.micro_batches": 16, "training.batch_size": 8}, 2, "at most half"),
        ({"training.micro_batches": 4, "training.budget_seconds": 60}, 2, "--budget"),
        ({"model.name": "pretrained", "training.micro_batches": 4}, 1, "fits its head"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    changes: dict[str, Any], workers: int, words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        check_workers(load_recipe("cnn").with_changes(changes), workers)


@pytest.mark.parametrize("kind", ["mps", "cuda"])
def test_a_device_that_workers_cannot_share_is_refused(kind: Any) -> None:
    place = SharedPlace.here(Here(), 1000)
    check_devices(place, CPU)
    with pytest.raises(DeviceError, match="--device cpu"):
        check_devices(place, Device(kind, "", 1))


class TestProcesses:
    """As the command line does it."""

    OPTIONS = (
        "--set", "training.epochs=20", "--set", "training.checkpoint_seconds=0",
        "--set", "tune.is_enabled=false", "--update",
    )  # fmt: skip

    @pytest.mark.slow
    def test_a_worker_that_is_killed_changes_no_bit(
        self,
        run_folder: str,
        tenfold: Callable[..., Any],
        tmp_path: Path,
    ) -> None:
        other = tmp_path / "other"
        shutil.copytree(run_folder, other)
        killed: list[int] = []

        def kill_one() -> None:
            work = other / ".train.partial" / ".work" / "checkpoint.safetensors"
            wait_for(work.is_file)
            killed.append(worker_processes()[-1])
            kill(killed[0])

        killer = threading.Thread(target=kill_one)
        killer.start()
        shared = tenfold("train", "--out", other, "--workers", 2, *self.OPTIONS)
        killer.join()
        assert shared.code == 0, shared.err
        assert "2 of 2 workers" in shared.err
        alone = tenfold("train", "--out", run_folder, "--workers", 1, *self.OPTIONS)
        assert alone.code == 0, alone.err
        for name in ("weights_last.safetensors", "history.csv"):
            first, second = ((Path(out) / "train" / name) for out in (run_folder, other))
            if name.endswith("csv"):
                lines = [
                    [row.rpartition(",")[0] for row in path.read_text().splitlines()]
                    for path in (first, second)
                ]
                assert lines[0] == lines[1]
            else:
                assert first.read_bytes() == second.read_bytes()
        assert not worker_processes()

    @pytest.mark.slow
    @pytest.mark.long
    def test_a_worker_that_hangs_is_left_behind(self, train: Train, tmp_path: Path) -> None:
        kept = tmp_path / "kept.safetensors"
        many = {"epochs": 20}

        def stop_one() -> None:
            wait_for(kept.is_file)
            os.kill(worker_processes()[-1], signal.SIGSTOP)

        stopper = threading.Thread(target=stop_one)
        stopper.start()
        waits = {"longest_wait_seconds": 4.0, "seconds_for_the_others": 1.0}
        found = train(
            many | {"checkpoint_seconds": 0},
            workers=2,
            crew=Processes(2),
            checkpoint=kept,
            **waits,
        )
        stopper.join()
        assert found == train(many)
        assert not worker_processes()

    def test_the_option_gives_a_study_micro_batches(self, run_folder: str) -> None:
        def resolved(**asked: Any) -> int | None:
            request = StudyRequest(out=Path(run_folder), stages=("train",), **asked)
            return request.resolve().settings.training.micro_batches

        assert resolved() is None
        assert resolved(workers=1) == MICRO_BATCHES
        assert resolved(workers=8, assignments=("training.micro_batches=8",)) == 8
        with pytest.raises(SettingsError, match="cross-validate"):
            StudyRequest(out=Path(run_folder), stages=("cross-validate",), workers=2).resolve()


def worker_processes() -> list[int]:
    """Give the worker processes of this process."""
    found = []
    for process in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"training_worker" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(int(process))
    return found
