"""The driver's side: hands tasks to workers, and does again what a lost worker had.

Workers are processes here or anywhere; how one is started and how messages travel is the place's.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tenfold.core import errors
from tenfold.core.errors import StorageError, TenfoldError, TrainingError
from tenfold.core.files import write_bytes
from tenfold.core.text import counted
from tenfold.study.scaling.packing import pack, unpack
from tenfold.study.scaling.work import MOST_DEATHS, Driver, Task, Work
from tenfold.study.scaling.worker import FILE, TaskFiles, is_inside

SECONDS_BETWEEN_LOOKS = 0.5
_MOST_LOST_MACHINES = 10
"""Over one task, with nothing of it kept between: it may be what takes them down."""


class Worker(Protocol):
    """A process that does tasks, as the driver knows it."""

    @property
    def where(self) -> str:
        """Give where it is, for people; empty for this machine."""

    def begin_task(self, message: bytes) -> None:
        """Give it a task."""

    def answer(self, values: bytes) -> None:
        """Answer what its task asked."""

    def end(self) -> Ending:
        """End it if it has not ended, and say how it ended."""


@dataclass(frozen=True)
class Ending:
    """How a worker ended.

    Parameters
    ----------
    reason
        For people: "exit code 3".
    advice
        What may help, from a semicolon or full stop on.
    is_machine
        Whether its whole machine was lost.
    """

    reason: str
    advice: str = ""
    is_machine: bool = False


Event = tuple[Worker, bytes | None]
"""A worker's message; None if it is gone."""


class Workplace(Protocol):
    """Where workers are started for some work."""

    @property
    def is_remote(self) -> bool:
        """Say whether workers have disks of their own, so that files travel."""

    def room(self) -> int:
        """Give how many workers may be there at a time, those that are there included."""

    def start(self, put: Callable[[Event], None]) -> Worker:
        """Start a worker, whose messages `put` takes from any thread, the first when it is ready.

        It may wait for room.
        """

    def leave_out(self, worker: Worker, reason: str) -> bool:
        """Use a worker's machine no more; say whether there are others."""

    def waiting_for(self) -> str:
        """Say what is waited for where workers do not begin; empty if nothing is known."""


@dataclass(eq=False)
class _Place:
    """A worker and what it is at."""

    worker: Worker
    is_placed: bool = False
    is_ready: bool = False
    task: Task | None = None
    text: str = ""


@dataclass
class Crew:
    """Does all tasks of some work by workers of a workplace."""

    work: Work
    driver: Driver
    workplace: Workplace
    _events: queue.Queue[Event] = field(default_factory=queue.Queue)
    _places: dict[int, _Place] = field(default_factory=dict)
    _again: deque[Task] = field(default_factory=deque)
    _deaths: dict[str, list[Ending]] = field(default_factory=dict)
    _repeated: int = 0
    _number: int = 0
    _failed_starts: int = 0
    _has_said_waiting: bool = False
    _said_unusable: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Do all tasks; see `tenfold.study.scaling.work.Place.run`."""
        looked = 0.0
        try:
            self._hire()
            while self._running or self._waiting:
                now = time.monotonic()
                if now - looked >= SECONDS_BETWEEN_LOOKS:
                    looked = now
                    self._look()
                try:
                    event = self._events.get(timeout=SECONDS_BETWEEN_LOOKS)
                except queue.Empty:
                    self._hire()
                    continue
                self._handle(*event)
                self._hire()
        finally:
            for place in self._places.values():
                place.worker.end()
            self._places.clear()

    @property
    def _running(self) -> int:
        return sum(place.task is not None for place in self._places.values())

    @property
    def _starting(self) -> int:
        """Give how many workers get ready, as far as is known."""
        return sum(place.is_placed and not place.is_ready for place in self._places.values())

    @property
    def _waiting(self) -> int:
        return len(self._again) + self.driver.left()

    def state(self) -> str:
        """Say in a few words what is running, and where."""
        places = [place for place in self._places.values() if place.task is not None]
        where = sorted({place.worker.where for place in places} - {""})
        parts = [f"{len(places)} running" + (f" on {counted(len(where), 'node')}" if where else "")]
        if self._again or self._repeated:
            parts.append(f"{self._repeated} lost and repeated")
        if starting := self._starting:
            parts.append(f"{starting} starting")
        elif not places and (reason := self.workplace.waiting_for()):
            parts.append(reason)
        texts = [place.text for place in places if place.text]
        return ", ".join(parts) + (f"; {texts[0]}" if len(texts) == 1 else "")

    def _look(self) -> None:
        self.driver.on_look(self.state())
        if self._running or self._starting or self._has_said_waiting:
            return
        if reason := self.workplace.waiting_for():
            self._has_said_waiting = True
            self._say(f"Waiting: {reason}")

    def _say(self, message: str) -> None:
        if self.driver.progress is not None:
            self.driver.progress.say(message)

    def _hire(self) -> None:
        """Give tasks to workers that have none, and start or end workers as it takes."""
        for key, place in list(self._places.items()):
            if place.task is None and place.is_ready:
                task = self._next()
                if task is None:
                    self._dismiss(key)
                else:
                    self._begin(place, task)
        unready = [key for key, place in self._places.items() if not place.is_ready]
        for key in unready[self._waiting :]:
            self._dismiss(key)
        most = min(self.workplace.room(), self._running + self._waiting)
        while len(self._places) < most:
            worker = self.workplace.start(self._events.put)
            self._places[id(worker)] = _Place(worker)

    def _next(self) -> Task | None:
        return self._again.popleft() if self._again else self.driver.next_task()

    def _dismiss(self, key: int) -> None:
        self._places.pop(key).worker.end()

    def _begin(self, place: _Place, task: Task) -> None:
        self._number += 1
        files = TaskFiles(self.work.folder, task.files)
        contents = files.changes()[0] if self.workplace.is_remote else {}
        place.task, place.text = task, ""
        message = {
            "number": self._number,
            "inputs": pack(task.inputs),
            "folder": str(self.work.folder),
            "files": task.files,
        }
        place.worker.begin_task(
            pack(message | {FILE + name: content for name, content in contents.items()})
        )

    def _handle(self, worker: Worker, content: bytes | None) -> None:
        place = self._places.get(id(worker))
        if place is None:  # it was ended, and this came late
            return
        if content is None:
            del self._places[id(worker)]
            self._lost(place, worker.end())
            return
        message = unpack(content)
        kind = message["kind"]
        if kind == "placed":
            place.is_placed = True
        elif kind == "ready":
            place.is_ready = True
            self._failed_starts = 0
        elif kind == "progress":
            place.text = message["text"]
        elif kind == "said":
            self._say(message["message"])
        elif kind == "unusable":
            self._unusable(place, message)
        elif kind == "failed":
            raise self._error(place, message)
        else:
            assert place.task is not None
            task = place.task
            if kind == "files":
                self._keep_files(task, message)
            elif kind == "ask":
                answer = self.driver.on_ask(task, unpack(message["question"]))
                worker.answer(pack(answer))
            elif kind == "done":
                place.task = None
                self._deaths.pop(task.name, None)
                self.driver.on_done(task, message["result"])

    def _keep_files(self, task: Task, message: dict[str, Any]) -> None:
        """Write what a task wrote elsewhere; its own files, and no others."""
        names = [name.removeprefix(FILE) for name in message if name.startswith(FILE)]
        assert all(map(is_inside, [*names, *message["removed"]]))
        for name in names:
            write_bytes(self.work.folder / name, message[FILE + name])
        for name in message["removed"]:
            (self.work.folder / name).unlink(missing_ok=True)
        self._deaths.pop(task.name, None)  # it gets on

    def _lost(self, place: _Place, ending: Ending) -> None:
        """Put the task of a worker that is gone back, or give it up."""
        where = f" on {place.worker.where}" if place.worker.where else ""
        if place.task is None:
            if not place.is_ready:
                self._failed_starts += 1
                # One that never ran on any node was lost with its node, or came too late to it.
                never_ran = self.workplace.is_remote and not place.is_placed
                most = _MOST_LOST_MACHINES if never_ran else MOST_DEATHS
                if self._failed_starts >= most:
                    raise TrainingError(
                        f"No worker can be started{where}: {most} in a row ended before "
                        f"they were ready ({ending.reason}){ending.advice}"
                    )
            return
        task = place.task
        deaths = self._deaths.setdefault(task.name, [])
        deaths.append(ending)
        own = sum(not death.is_machine for death in deaths)
        if own < MOST_DEATHS and len(deaths) < _MOST_LOST_MACHINES:
            self._again.append(task)
            self._repeated += 1
            if self.workplace.is_remote:
                what = "the node was lost" if ending.is_machine else "its worker was lost"
                self._say(f"{task.name}{where}: {what}; it goes on elsewhere")
            return
        del self._deaths[task.name]
        self.driver.on_lost(
            task,
            f"its process ended {len(deaths)} times ({ending.reason}{where}){ending.advice}",
        )

    def _unusable(self, place: _Place, message: dict[str, Any]) -> None:
        """Do a task elsewhere whose machine has no room on its disk."""
        where = f"{place.worker.where}: " if place.worker.where else ""
        if not self.workplace.leave_out(place.worker, message["message"]):
            raise StorageError(where + message["message"])
        del self._places[id(place.worker)]
        place.worker.end()
        if place.task is not None:
            self._again.append(place.task)
            self._repeated += 1
        if where not in self._said_unusable:  # by another worker of that machine
            self._said_unusable.add(where)
            self._say(f"{where}{message['message']} The work goes on elsewhere.")

    def _error(self, place: _Place, message: dict[str, Any]) -> TenfoldError:
        """Give the error that a task raised, as it would have been raised here."""
        if message["is_ours"]:
            kind = getattr(errors, message["error"], TrainingError)
            if kind is errors.UnknownNameError:
                kind = errors.SettingsError
            error: TenfoldError = kind(message["message"])
        else:
            name = place.task.name if place.task is not None else "A task"
            error = TrainingError(
                f"{name} ended with an error that is not known: {message['error']}: "
                f"{message['message']}"
            )
        error.add_note(f"On {place.worker.where or 'this machine'}:\n{message['trace']}")
        return error
