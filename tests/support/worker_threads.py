"""Workers of one training as threads of this process: processes would cost seconds each."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tenfold.core.progress import Progress, SilentProgress
from tenfold.study.scaling.packing import Values, pack, unpack
from tenfold.study.scaling.work import Common, Driver, Task, Work


@dataclass
class WorkerThreads:
    """A place that does all tasks at a time; each worker is a thread.

    Parameters
    ----------
    jobs
        Threads at a time.

    Attributes
    ----------
    deaths
        Tasks whose worker raised `DeathError`, as often as it did; they are done again.
    """

    jobs: int = 8
    deaths: list[str] = field(default_factory=list)

    def run(self, work: Work, driver: Driver) -> None:
        """Do all tasks; see `tenfold.study.scaling.work.Place.run`."""
        events: queue.Queue[tuple[str, Task, object]] = queue.Queue()
        common = Common(unpack(pack(work.values)), work.folders, work.device)
        answers: dict[str, queue.Queue[Values]] = {}

        def be_worker(task: Task) -> None:
            try:
                desk = _Desk(work.folder, task, events, answers[task.name])
                events.put(("done", task, work.function(common)(task.inputs, desk)))
            except DeathError:
                events.put(("died", task, None))
            except BaseException as error:
                events.put(("failed", task, error))

        def start(task: Task) -> None:
            answers[task.name] = queue.Queue()
            threading.Thread(target=be_worker, args=(task,), name=task.name, daemon=True).start()

        running = 0
        while running or driver.left():
            while running < self.jobs and (task := driver.next_task()) is not None:
                start(task)
                running += 1
            kind, task, content = events.get(timeout=30)
            if kind == "ask":
                answers[task.name].put(unpack(pack(driver.on_ask(task, unpack(content)))))
            elif kind == "done":
                running -= 1
                driver.on_done(task, content)
            elif kind == "died":
                self.deaths.append(task.name)
                start(task)
            else:
                raise content


class DeathError(BaseException):
    """A worker's process ends without a word."""


@dataclass
class _Desk:
    folder: Path
    task: Task
    events: queue.Queue
    answers: queue.Queue

    @property
    def progress(self) -> Progress:
        return SilentProgress()

    def ask(self, question: Values) -> dict:
        self.events.put(("ask", self.task, pack(question)))
        return dict(self.answers.get(timeout=30))
