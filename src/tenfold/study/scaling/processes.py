"""Processes that do numbered tasks; a task whose process died is done again by a new one.

``python -m`` this module is the one entry of all such processes: it gets the function to serve by
its name, so that a worker's code may stand in any module and exists once in its process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tenfold.core.errors import TrainingError

MOST_DEATHS = 3
"""Of processes over one task, after which the task is given up."""
_SECONDS_BETWEEN_LOOKS = 0.5
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WorkerFunction = Callable[[Path], Callable[[int], str | None]]
"""Gets ready for the tasks of a request file, then does one task a call, by its number.

A task gives a message for people if the whole work cannot go on, else None.
"""


@dataclass
class WorkerPool:
    """Runs a worker in several processes and hands tasks to them.

    A worker ends by itself when this process is gone, however that happened: its standard input
    ends then. When `run` is left, by an error or Ctrl-C too, all workers are ended.

    Parameters
    ----------
    function
        What each process serves: a function at the top level of a module.
    request
        File that tells the worker what all tasks have in common.
    jobs
        Number of processes.
    threads
        Threads of each.
    log
        File that the processes write their messages to.
    """

    function: WorkerFunction
    request: Path
    jobs: int
    threads: int
    log: Path
    _messages: queue.Queue[tuple[_Worker, str | None]] = field(default_factory=queue.Queue)
    _workers: list[_Worker] = field(default_factory=list)
    _deaths: dict[int, int] = field(default_factory=dict)

    def run(
        self,
        next_task: Callable[[], int | None],
        *,
        on_done: Callable[[int], None],
        on_lost: Callable[[int, str], None],
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        """Do all tasks.

        Parameters
        ----------
        next_task
            Gives the next task's number; None if there is none left.
        on_done
            Told of each task that is done.
        on_lost
            Told of each task that was given up, and why.
        on_look
            Called about twice a second.

        Raises
        ------
        TrainingError
            With a task's own message, if it raised one.
        """
        again: list[int] = []

        def next_or_again() -> int | None:
            return again.pop() if again else next_task()

        try:
            self._fill(next_or_again)
            while any(worker.task is not None for worker in self._workers):
                on_look()
                try:
                    worker, line = self._messages.get(timeout=_SECONDS_BETWEEN_LOOKS)
                except queue.Empty:
                    continue
                task, worker.task = worker.task, None
                if line is None:
                    self._workers.remove(worker)
                    code = worker.end()
                    if task is not None:
                        self._died(code, task, again, on_lost)
                else:
                    message = json.loads(line)["error"]
                    if message is not None:
                        raise TrainingError(message)
                    assert task is not None
                    on_done(task)
                self._fill(next_or_again)
        finally:
            for worker in self._workers:
                worker.end()
            self._workers.clear()

    def _fill(self, next_task: Callable[[], int | None]) -> None:
        """Give a task to every process that has none; start processes as they are needed."""
        idle = [worker for worker in self._workers if worker.task is None]
        while idle or len(self._workers) < self.jobs:
            task = next_task()
            if task is None:
                return
            worker = idle.pop() if idle else self._start()
            worker.task = task
            assert worker.process.stdin is not None
            try:
                worker.process.stdin.write(f"{task}\n")
                worker.process.stdin.flush()
            except OSError:
                pass  # it died: its end is on its way

    def _died(
        self, code: int, task: int, again: list[int], on_lost: Callable[[int, str], None]
    ) -> None:
        self._deaths[task] = self._deaths.get(task, 0) + 1
        if self._deaths[task] < MOST_DEATHS:
            again.append(task)
            return
        lines = self.log.read_text(errors="replace").splitlines() if self.log.is_file() else []
        last = f" Its last message: {lines[-1]}" if lines else ""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        on_lost(
            task,
            f"its process ended {MOST_DEATHS} times ({how}; out of memory?); fewer --jobs need "
            f"less memory.{last}",
        )

    def _start(self) -> _Worker:
        threads = dict.fromkeys(_THREAD_VARIABLES, str(self.threads))
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, worker_name(self.function), str(self.request)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | threads,
                # Ctrl-C is for the parent alone, which ends the workers.
                start_new_session=os.name == "posix",
            )
        worker = _Worker(process)
        self._workers.append(worker)
        worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        worker.listener.start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        for line in worker.process.stdout:
            self._messages.put((worker, line))
        self._messages.put((worker, None))


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[str]
    task: int | None = None
    listener: threading.Thread | None = None

    def end(self) -> int:
        """End the process, if it has not ended, and give its exit code."""
        self.process.kill()
        code = self.process.wait()
        if self.listener is not None:
            self.listener.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # a task that it could not read any more
                pipe.close()
        return code


def worker_name(function: WorkerFunction) -> str:
    """Give the name that a worker's process finds it by."""
    return f"{function.__module__}:{function.__qualname__}"


def main() -> NoReturn:
    """Do the tasks that the parent process names, until it says no more or is gone."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is no answer
    name, request = sys.argv[1:]
    module, _, attribute = name.partition(":")
    function: WorkerFunction = getattr(importlib.import_module(module), attribute)
    do = function(Path(request))
    for task in _tasks():
        answers.write(json.dumps({"error": do(task)}) + "\n")
        answers.flush()
    raise AssertionError("unreachable: the process ends with its input")


def _tasks() -> Iterator[int]:
    """Give the tasks; end the process at once, mid-task too, when the parent is gone."""
    tasks: queue.Queue[int] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            tasks.put(int(line))
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield tasks.get()


if __name__ == "__main__":
    main()
