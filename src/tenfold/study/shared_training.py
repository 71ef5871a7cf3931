"""One training shared by several workers, which may die.

Each worker is a task of a `tenfold.study.scaling.work.Place`: what brings it there, brings it the
images and does it again when it is lost is the place's. The driver says who meets whom. It computes
nothing; it keeps the newest state that the first worker sends, and workers that lost another one
meet anew and go on from that. How many they are then changes no result
(`tenfold.training.micro_batches`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tenfold.core.errors import DeviceError, SettingsError, TrainingError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.progress import Task as Bar
from tenfold.core.text import counted
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.packing import Values
from tenfold.study.scaling.processes import Processes
from tenfold.study.scaling.sharing import SharedPlace
from tenfold.study.scaling.work import Driver, Task, Work
from tenfold.study.training_worker import training_worker
from tenfold.training.device import Device
from tenfold.training.fit import check_shareable
from tenfold.training.loop import Training
from tenfold.training.worker_group import (
    LONGEST_WAIT_SECONDS,
    MeetingPlace,
)

MICRO_BATCHES = 4
"""Of a training that workers share, unless it is said: as many as most machines have GPUs."""
_SECONDS_FOR_THE_OTHERS = 30.0
"""From when somebody last came until those who are there begin without the rest."""
_SECONDS_TO_END = 5.0
_MOST_MEETINGS = 10
"""In vain, without a newer state."""


def check_workers(settings: StudySettings, workers: int) -> None:
    """Check that so many workers can share the study's training.

    Raises
    ------
    SettingsError
        If they cannot.
    """
    check_shareable(settings.model.name)
    training = settings.training
    micro_batches = training.micro_batches or 1
    if workers > micro_batches:
        raise SettingsError(
            f"--workers {workers} is more than a batch has micro-batches (training.micro_batches "
            f"is {micro_batches}), so some would have nothing to do. Give at most {micro_batches} "
            f"workers, or --set training.micro_batches={workers}: other weights, but the same for "
            "any number of workers."
        )
    if micro_batches > training.batch_size:
        raise SettingsError(
            f"training.micro_batches is {micro_batches}, more than the images of a batch "
            f"(training.batch_size is {training.batch_size}). Set it to at most half of that."
        )
    if training.budget_seconds is not None and workers > 1:
        raise SettingsError(
            "A time budget cannot be shared by --workers: each has a clock of its own. Leave out "
            "--budget (training.budget_seconds) and set training.epochs, or give --workers 1."
        )


def check_devices(place: SharedPlace, device: Device) -> None:
    """Check that each of the workers on this machine has a device of its own.

    Raises
    ------
    DeviceError
        If there are fewer.
    """
    if not isinstance(place.crew, Processes):
        return
    if device.kind == "mps":
        raise DeviceError(
            "Several workers cannot share the one Apple GPU. Leave out --workers, or compute on "
            "the processor: --device cpu."
        )
    if device.kind == "cuda" and place.workers > torch.cuda.device_count():
        raise DeviceError(
            f"--workers {place.workers} needs as many GPUs, and this machine has "
            f"{torch.cuda.device_count()}. Give fewer --workers (the weights are the same), or "
            "--device cpu."
        )


@dataclass
class SharedTraining:
    """The driver of a training that workers share.

    Parameters
    ----------
    place
        Where they run, and how many they are.
    settings
        The study's, tuned.
    acquire
        Folder of the acquired images.
    device
        Where to compute.
    folder
        For what workers write.
    progress
        Who is told.
    seconds_for_the_others, longest_wait_seconds
        How long those who are there wait for others to come, and for an answer of one that came.
    """

    place: SharedPlace
    settings: StudySettings
    acquire: Path
    device: Device
    folder: Path
    progress: Progress = field(default_factory=SilentProgress)
    seconds_for_the_others: float = _SECONDS_FOR_THE_OTHERS
    longest_wait_seconds: float = LONGEST_WAIT_SECONDS

    def run(self, training: Training) -> None:
        """Train to the end, and leave the training with its last state.

        Parameters
        ----------
        training
            Where it begins or goes on; its checkpoint keeps what workers send.

        Raises
        ------
        TrainingError
            If no worker is left, or they do not reach each other.
        TenfoldError
            What a worker raised.
        """
        workers = self.place.workers
        meeting = MeetingPlace(self.place.host)
        work = Work(
            training_worker,
            self.folder,
            values={
                "settings": self.settings.flat(),
                "host": meeting.host,
                "port": meeting.port,
                "longest_wait_seconds": self.longest_wait_seconds,
            },
            folders={"acquire": self.acquire},
            device=self.device,
        )
        with ExitStack() as stack:

            def begin(done: float) -> Bar:
                title, pace = training.trainer.title, training.pace
                task = self.progress.task(title, pace.total, done=done, unit=pace.unit)
                return stack.enter_context(task)

            meetings = _Meetings(self, training, begin, training.packed_state(), training.done)
            meetings.hire(workers)
            self.progress.say(f"{training.trainer.title}: starting {counted(workers, 'worker')}")
            driver = Driver(
                next_task=meetings.next_task,
                left=lambda: len(meetings.to_start),
                on_done=lambda task, _result: meetings.leave(task),
                on_lost=meetings.give_up,
                on_ask=meetings.answer,
                on_look=meetings.look,
                progress=self.progress,
            )
            with suppress(_OverError):
                self.place.crew.run(work, driver)
        if meetings.end is None:
            raise TrainingError(
                f"No worker of {workers} is left: {meetings.reason} The same command goes on from "
                "the last checkpoint; fewer --workers need less memory."
            )
        training.adopt(meetings.end)


class _OverError(Exception):
    """The training is over, but not all workers have ended."""


@dataclass
class _Meetings:
    """Who is there, who meets whom, and the newest state."""

    shared: SharedTraining
    training: Training
    begin: Callable[[float], Bar]
    """Opens the display of what is done, when there is something: so its clock counts no start."""
    newest: bytes
    done: float
    detail: str = ""
    reason: str = ""
    end: bytes | None = None
    to_start: list[Task] = field(default_factory=list)
    _bar: Bar | None = None
    _hired: int = 0
    _there: set[str] = field(default_factory=set)
    """Workers that were not given up."""
    _waiting: dict[str, float] = field(default_factory=dict)
    """When those who wait to meet others came."""
    _ranks: dict[str, int] = field(default_factory=dict)
    """Of the newest group, those who were not told yet."""
    _told: set[str] = field(default_factory=set)
    """Of the newest group, those who are at work."""
    _heard_at: float = 0.0
    """When one of them last said something."""
    _is_anew: bool = False
    """Whether the next group is made for those who came late."""
    _size: int = 0
    _number: int = 0
    _in_vain: int = 0
    _is_newer: bool = False
    _ended_at: float = 0.0

    def look(self, state: str) -> None:
        """Show what is running; leave a worker that hangs, when the training is over."""
        if self._bar is not None:
            self._bar.advance(0, detail=f"{self.detail}; {state}")
        if self.end is not None and time.monotonic() - self._ended_at > _SECONDS_TO_END:
            raise _OverError

    def hire(self, count: int) -> None:
        for _ in range(count):
            self._hired += 1
            name = f"Worker {self._hired}"
            self._there.add(name)
            self.to_start.append(Task(name))

    def next_task(self) -> Task | None:
        return self.to_start.pop(0) if self.to_start else None

    def leave(self, task: Task) -> None:
        """Count on a worker no more."""
        self._there.discard(task.name)
        self._told.discard(task.name)
        for names in (self._waiting, self._ranks):
            names.pop(task.name, None)

    def give_up(self, task: Task, reason: str) -> None:
        """Take another worker for one that died again and again, if the training gets on."""
        self.leave(task)
        self.reason = f"{task.name} was given up: {reason}."
        if self._is_newer:
            self._is_newer = False
            self.hire(1)
            return
        self.shared.progress.say(self.reason)

    def answer(self, task: Task, question: Values) -> Values:
        match question["about"]:
            case "meeting":
                return self._meeting(task.name, question["reason"])
            case "progress":
                self._show(question["done"], question["detail"])
                return {}
            case _:
                return self._keep(question)

    def _show(self, done: float, detail: str) -> None:
        self.detail = detail
        newest = max(done, self.done)
        if self._bar is None:
            self._bar = self.begin(newest)
        else:
            self._bar.advance(newest - self.done, detail=detail)
        self.done = newest
        self._heard_at = time.monotonic()

    def _keep(self, question: Values) -> Values:
        state, is_end = question["state"], question["is_end"]
        if question["meeting"] != str(self._number) and not is_end:
            return {"meet_anew": True}  # of a group that was given up for lost
        self._heard_at = time.monotonic()
        self.newest = state
        self._in_vain, self._is_newer = 0, True
        self.training.keep(state)
        if is_end:
            self.end, self._ended_at = state, time.monotonic()
        # Those who came late join now, when nothing is lost by it.
        self._is_anew = bool(self._waiting) and not is_end
        return {"meet_anew": self._is_anew}

    def _meeting(self, name: str, reason: str) -> Values:
        """Say which group a worker is in, if it is in one."""
        if self.end is not None:
            return {"is_over": True}
        if name in self._told:  # it lost another: this group is none any more
            self._told.clear()
            self._ranks.clear()
            self.reason = reason
        if name not in self._ranks:
            self._waiting.setdefault(name, time.monotonic())
        if not self._is_at_work and self._is_time:
            self._begin()
        if name not in self._ranks:
            return {}
        rank = self._ranks.pop(name)
        self._told.add(name)
        state = {"state": self.newest} if rank == 0 else {}
        return {"name": str(self._number), "rank": rank, "size": self._size, **state}

    @property
    def _is_at_work(self) -> bool:
        """Say whether there is a group; one that says nothing for long may have died as a whole."""
        silent_seconds = time.monotonic() - self._heard_at
        is_there = bool(self._told or self._ranks)
        return is_there and silent_seconds < 2 * self.shared.longest_wait_seconds

    @property
    def _is_time(self) -> bool:
        """Say whether all are there, or the others do not come."""
        if len(self._waiting) >= len(self._there):
            return True
        waited = time.monotonic() - max(self._waiting.values(), default=0.0)
        return bool(self._waiting) and waited >= self.shared.seconds_for_the_others

    def _begin(self) -> None:
        self._in_vain += 1
        if self._in_vain > _MOST_MEETINGS:
            raise TrainingError(
                f"The workers met {_MOST_MEETINGS} times without getting on: {self.reason} If they "
                "are on several machines, these have to reach each other on all ports."
            )
        if self._number:
            self.shared.progress.say(
                f"{'A worker came' if self._is_anew else 'A worker was lost'}; the training goes "
                f"on from its last checkpoint with {len(self._waiting)} of "
                f"{self.shared.place.workers} workers, which does not change its result."
            )
        self._number += 1
        self._is_anew = False
        self._told.clear()
        self._heard_at = time.monotonic()
        self._size = len(self._waiting)
        self._ranks = {name: rank for rank, name in enumerate(sorted(self._waiting))}
        self._waiting.clear()
