"""A worker's part in a training that several share; see `tenfold.study.shared_training`.

It reads and writes no run folder: the state to go on from comes from the driver as bytes, and goes
back to it as bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from tenfold.core.progress import SilentProgress, TaskContext
from tenfold.core.progress import Task as Bar
from tenfold.data.rebalancing import choose_rebalancing
from tenfold.study.prepared_training import PreparedTraining
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.packing import Values
from tenfold.study.scaling.work import Common, Desk, DoTask
from tenfold.training.checkpoint import Checkpoint, TrainingState, pack_state, unpack_state
from tenfold.training.device import enough_memory
from tenfold.training.loop import Training
from tenfold.training.worker_group import GlooGroup, PeerLostError, joined

_SECONDS_BETWEEN_QUESTIONS = 0.1
_SECONDS_BETWEEN_WORDS = 1.0


def training_worker(common: Common) -> DoTask:
    """Get ready to be one worker of a training; a `WorkerFunction`."""
    settings = StudySettings.resolve(common.values["settings"])
    prepared = PreparedTraining.read(settings, common.folders["acquire"], common.device)

    def do(_inputs: Values, desk: Desk) -> bytes:
        reason = ""
        while True:
            meeting = desk.ask({"about": "meeting", "reason": reason})
            if meeting.get("is_over"):
                return b""
            if "rank" not in meeting:
                time.sleep(_SECONDS_BETWEEN_QUESTIONS)
                continue
            try:
                with joined(
                    common.values["host"],
                    common.values["port"],
                    name=meeting["name"],
                    rank=meeting["rank"],
                    size=meeting["size"],
                    longest_wait_seconds=common.values["longest_wait_seconds"],
                ) as group:
                    _train(prepared, group, desk, meeting)
                return b""
            except PeerLostError as error:
                reason = str(error)

    return do


def _train(prepared: PreparedTraining, group: GlooGroup, desk: Desk, meeting: Values) -> None:
    """Train to the end, beside the group's other workers."""
    device = prepared.trainer.device
    if device.kind == "cuda":
        torch.cuda.set_device(group.rank % torch.cuda.device_count())
    content = group.from_first(meeting.get("state"))

    def send(newest: bytes, *, is_end: bool = False) -> None:
        told = {"state": newest, "is_end": is_end, "meeting": meeting["name"]}
        if desk.ask({"about": "state", **told})["meet_anew"]:
            raise PeerLostError("")

    is_first = group.rank == 0
    trainer = replace(
        prepared.trainer,
        checkpoint=_SentCheckpoint.of(content, send if is_first else None),
        progress=_SentProgress(desk) if is_first else SilentProgress(),
        group=group,
    )
    settings, train = trainer.settings, prepared.train
    plan = prepared.plan.suited_to(mirror_keeps_class=trainer.mirror_keeps_class)
    counts = train.counts(plan.class_count)
    rebalancing = choose_rebalancing(settings.rebalance, counts, trainer.classes)
    with enough_memory(plan.image_shape, settings.batch_size):
        training = Training(trainer, plan.build_any(), train, prepared.validation, rebalancing)
        training.train()
    if is_first:
        send(training.packed_state(), is_end=True)
    group.all_integers(torch.zeros(1, dtype=torch.int64))  # nobody leaves before the others may


@dataclass(frozen=True)
class _SentCheckpoint(Checkpoint):
    """A state that came as bytes, and is sent as bytes; nowhere if `send` is None."""

    content: bytes = b""
    send: Callable[[bytes], None] | None = None

    @classmethod
    def of(cls, content: bytes, send: Callable[[bytes], None] | None) -> _SentCheckpoint:
        return cls(Path("the driver's checkpoint"), content, send)

    def save(
        self, state: TrainingState, network: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        if self.send is not None:
            self.send(pack_state(state, network, optimizer))

    def load(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
    ) -> TrainingState:
        return unpack_state(self.content, network, optimizer, device)


@dataclass(frozen=True)
class _SentProgress:
    """Progress that the driver shows."""

    desk: Desk

    def say(self, message: str) -> None:
        self.desk.progress.say(message)

    def task(
        self, description: str, total: float, *, done: float = 0.0, unit: str = "it"
    ) -> TaskContext:
        del description, total, unit
        return _SentTask(self.desk, done)


@dataclass
class _SentTask:
    desk: Desk
    done: float
    told_at: float = 0.0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def advance(self, units: float = 1.0, *, detail: str = "") -> None:
        self.done += units
        now = time.monotonic()
        if now - self.told_at >= _SECONDS_BETWEEN_WORDS:
            self.told_at = now
            self.desk.ask({"about": "progress", "done": self.done, "detail": detail})
