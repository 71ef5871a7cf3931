"""Work done by several processes on this machine.

``python -m`` this module is the one entry of all such processes: it gets the function to serve by
its name, so that a worker's code may stand in any module and exists once in its process.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

from tenfold.study.scaling.crew import Crew, Ending, Event, Worker
from tenfold.study.scaling.packing import pack, unpack
from tenfold.study.scaling.work import Driver, Work, function_name
from tenfold.study.scaling.worker import TaskServer, beginning

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LENGTH_BYTES = 8
_READ_BYTES = 4096
"""Of the end of what a process printed."""


@dataclass(frozen=True)
class Processes:
    """Several processes, which share this machine's cores.

    A process ends by itself when this one is gone, however that happened: its standard input ends
    then. When `run` is left, by an error or Ctrl-C too, all of them are ended.
    """

    jobs: int

    def run(self, work: Work, driver: Driver) -> None:
        """Do all tasks; see `tenfold.study.scaling.work.Place.run`."""
        work.folder.mkdir(parents=True, exist_ok=True)
        Crew(work, driver, _Workplace(work, self.jobs)).run()


@dataclass(frozen=True)
class _Workplace:
    work: Work
    jobs: int
    is_remote: bool = False

    def room(self) -> int:
        return self.jobs

    def start(self, put: Callable[[Event], None]) -> Worker:
        work = self.work
        threads = max(1, work.device.threads // self.jobs)
        variables = dict.fromkeys(_THREAD_VARIABLES, str(threads))
        printed = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the process
        process = subprocess.Popen(
            # Its function stands there for people who look at what runs.
            [sys.executable, "-m", __name__, function_name(work.function)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            env=os.environ | variables,
            # Ctrl-C is for the parent alone, which ends the workers.
            start_new_session=os.name == "posix",
        )
        worker = _Process(process, printed)
        worker.listener = threading.Thread(target=_listen, args=(worker, put), daemon=True)
        worker.listener.start()
        worker.send(
            {
                "begin": beginning(work, threads=threads, device=work.device.kind),
                "folders": {name: str(path) for name, path in work.folders.items()},
            }
        )
        return worker

    def leave_out(self, worker: Worker, reason: str) -> bool:
        del worker, reason
        return False

    def waiting_for(self) -> str:
        return ""


@dataclass(eq=False)
class _Process:
    process: subprocess.Popen[bytes]
    printed: IO[bytes]
    """What the process prints, in a file without a name."""
    where: str = ""
    listener: threading.Thread | None = field(default=None, repr=False)
    _ending: Ending | None = None

    def begin_task(self, message: bytes) -> None:
        self.send({"task": message})

    def answer(self, values: bytes) -> None:
        self.send({"answer": values})

    def send(self, values: dict[str, object]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it died: its end is on its way
            _write(self.process.stdin, pack(values))

    def end(self) -> Ending:
        if self._ending is not None:
            return self._ending
        self.process.kill()
        code = self.process.wait()
        if self.listener is not None:
            self.listener.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # a task that it could not read any more
                pipe.close()
        with self.printed:
            size = self.printed.seek(0, os.SEEK_END)
            self.printed.seek(max(0, size - _READ_BYTES))
            lines = self.printed.read().decode(errors="replace").splitlines()
        last = f" Its last message: {lines[-1]}" if lines else ""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._ending = Ending(f"{how}; out of memory?", f"; fewer --jobs need less memory.{last}")
        return self._ending


def _listen(worker: _Process, put: Callable[[Event], None]) -> None:
    assert worker.process.stdout is not None
    while (message := _read(worker.process.stdout)) is not None:
        put((worker, message))
    put((worker, None))


def _write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_LENGTH_BYTES, "little") + message)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """Give the next message; None at the end, or amid a message of a process that died."""
    length = pipe.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    size = int.from_bytes(length, "little")
    message = pipe.read(size)
    return message if len(message) == size else None


def main() -> NoReturn:
    """Do the tasks that the parent process names, until it says no more or is gone."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed is no answer
    lock = threading.Lock()

    def emit(message: bytes) -> None:
        with lock:
            _write(answers, message)

    tasks: list[bytes] = []
    is_there = threading.Semaphore(0)
    first = _read(sys.stdin.buffer)
    if first is None:
        os._exit(0)
    begin = unpack(first)
    folders = {name: Path(path) for name, path in begin["folders"].items()}
    server = TaskServer(begin["begin"], folders, emit)

    def listen() -> None:
        """Take messages; end the process at once, mid-task too, when the parent is gone."""
        while (content := _read(sys.stdin.buffer)) is not None:
            message = unpack(content)
            if "answer" in message:
                server.answer(message["answer"])
            else:
                tasks.append(message["task"])
                is_there.release()
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    emit(pack({"kind": "ready"}))
    while True:
        is_there.acquire()
        server.run(tasks.pop())


if __name__ == "__main__":
    main()
