"""Independent tasks, wherever they run: what a task is, and what it sees of where it is.

Whoever has such work describes it (`Work`, `Task`) and hands it to a `Place`; whoever does it is a
`WorkerFunction`. Neither knows whether the other is in the same process, beside it, or far away.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tenfold.core.errors import TrainingError
from tenfold.core.progress import Progress
from tenfold.study.scaling.packing import Values
from tenfold.training.device import Device

MOST_DEATHS = 3
"""Of processes over one task, with nothing of it kept between, after which it is given up."""


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Parameters
    ----------
    name
        Its own among the tasks of the work: "trial 3".
    inputs
        What this task alone is given.
    files
        Which files of the work's folder are the task's, as a pattern for `Path.glob`. They are
        there when it begins, and what it writes of them is kept: a task whose process or machine
        died goes on from them.
    """

    name: str
    inputs: Values = field(default_factory=dict)
    files: str | None = None


@dataclass(frozen=True)
class Work:
    """What tasks have in common.

    Parameters
    ----------
    function
        Who does them: a function at the top level of a module, found by its name elsewhere.
    folder
        Where the tasks' files lie, on the disk of the driver.
    values
        What all tasks are given.
    folders
        Folders that all tasks read, by name; nothing writes into them meanwhile.
    device
        Where to compute; how many threads a task has depends on the place.
    seconds_between_files
        How often a task's files are fetched that lie on another machine.
    """

    function: WorkerFunction
    folder: Path
    values: Values = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    device: Device = field(default_factory=lambda: Device("cpu", "", 1))
    seconds_between_files: float = 60.0


@dataclass(frozen=True)
class Common:
    """What a worker is given once, for all its tasks: see `Work`."""

    values: Values
    folders: Mapping[str, Path]
    device: Device


class Desk(Protocol):
    """What a task sees of where it is done."""

    @property
    def folder(self) -> Path:
        """Give where the task's files are, and where to write them."""

    @property
    def progress(self) -> Progress:
        """Give who is told how far the task is."""

    def ask(self, question: Values) -> dict[str, Any]:
        """Ask the driver, and wait for the answer."""


DoTask = Callable[[Values, Desk], bytes]
WorkerFunction = Callable[[Common], DoTask]
"""Gets ready, once in a process, and gives what does one task a call: its inputs in, bytes out."""


@dataclass(frozen=True)
class Driver:
    """How the driver of some work hands tasks out, and what it does with what comes back.

    All of it is called in the thread that runs the work, one call at a time.

    Parameters
    ----------
    next_task
        Gives the next task; None if there is none left.
    left
        Says how many tasks there are still to give, at most.
    on_done
        Told of each task that is done, once, with its result; its files are there before.
    on_lost
        Told of each task that was given up, and why.
    on_ask
        Answers what a task asks.
    on_look
        Called about twice a second while there is work, if the place can.
    progress
        Who is told.
    """

    next_task: Callable[[], Task | None]
    left: Callable[[], int]
    on_done: Callable[[Task, bytes], object]
    on_lost: Callable[[Task, str], object]
    on_ask: Callable[[Task, Values], Values] = lambda _task, _question: {}
    on_look: Callable[[str], object] = lambda _state: None
    progress: Progress | None = None


class Place(Protocol):
    """Where independent work runs."""

    @property
    def jobs(self) -> int:
        """Give how many tasks run at a time, at most, as far as is known before."""

    def run(self, work: Work, driver: Driver) -> None:
        """Do all tasks.

        Raises
        ------
        TenfoldError
            What a task raised, with its own message; then the others are ended.
        """


def run_tasks(
    place: Place,
    work: Work,
    tasks: Iterable[Task],
    on_done: Callable[[Task, bytes], object],
    *,
    on_look: Callable[[str], object] = lambda _state: None,
    progress: Progress | None = None,
) -> None:
    """Do tasks that are all known before; none may be lost.

    Raises
    ------
    TrainingError
        If a task was given up.
    TenfoldError
        What a task raised.
    """
    waiting = list(tasks)[::-1]
    if not waiting:
        return

    def on_lost(task: Task, reason: str) -> None:
        raise TrainingError(f"{task.name} could not be done: {reason}")

    driver = Driver(
        next_task=lambda: waiting.pop() if waiting else None,
        left=lambda: len(waiting),
        on_done=on_done,
        on_lost=on_lost,
        on_look=on_look,
        progress=progress,
    )
    place.run(work, driver)


def function_name(function: Callable[..., Any]) -> str:
    """Give the name that other processes find a function by."""
    return f"{function.__module__}:{function.__qualname__}"


def function_named(name: str) -> WorkerFunction:
    """Give the function of `function_name`."""
    module, _, attribute = name.partition(":")
    found: WorkerFunction = getattr(importlib.import_module(module), attribute)
    return found
