"""The processes that torchrun started, as the workers of a training.

The first of them runs the command, writes the run folder and is a worker beside that; the others
do nothing else than the tasks that it hands them, through the store that torchrun has for that.
Torchrun itself ends all of them when one dies, and starts all again (``--max-restarts``).
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from torch import distributed

from tenfold.core.errors import SettingsError, TrainingError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.study.scaling.packing import Values, pack, unpack
from tenfold.study.scaling.sharing import SharedPlace
from tenfold.study.scaling.work import (
    Common,
    Driver,
    Place,
    Work,
    function_name,
    function_named,
)
from tenfold.training.device import choose_device
from tenfold.training.worker_group import check_platform

_LONGEST_WAIT = timedelta(days=30)
"""For the first process, which reads the data meanwhile, or trains alone. Torchrun ends all
processes when one ends with an error."""
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"
_RESTARTS = "TORCHELASTIC_RESTART_COUNT"
_PREFIX = "tenfold"


@dataclass(frozen=True)
class Launch:
    """One of the processes that torchrun started.

    Parameters
    ----------
    rank
        Its number, from 0.
    size
        How many they are.
    host, port
        Of the store.
    """

    rank: int
    size: int
    host: str
    port: int

    @classmethod
    def found(cls) -> Self | None:
        """Give what the environment says; None if torchrun did not start this process.

        Raises
        ------
        SettingsError
            If processes cannot share a training here.
        """
        if not all(name in os.environ for name in _VARIABLES):
            return None
        rank, size, host, port = (os.environ[name] for name in _VARIABLES)
        if int(size) == 1:
            return None
        check_platform()
        return cls(int(rank), int(size), host, int(port))

    def check(self, workers: int) -> None:
        """Check that so many workers were started.

        Raises
        ------
        SettingsError
            If they were not.
        """
        if workers != self.size:
            raise SettingsError(
                f"--workers {workers} was asked for, but torchrun started {self.size} processes "
                "(WORLD_SIZE). Leave out --workers: the number does not change the weights."
            )

    def serve(self, device: str) -> None:
        """Do what the first process says, until it says no more.

        Raises
        ------
        SettingsError
            If a folder of the work is not on this machine.
        TenfoldError
            What a task raised.
        """
        line = _Line(self, f"to-{self.rank}", f"from-{self.rank}")
        while not (work := line.receive()).get("is_over"):
            folders = {name: Path(path) for name, path in work["folders"].items()}
            try:
                _check_folders(folders)
                common = Common(unpack(work["values"]), folders, choose_device(device))
                desk = _Desk(Path(work["folder"]), lambda asked: _answer(line, asked))
                result = function_named(work["function"])(common)({}, desk)
            except BaseException as error:
                line.send({"kind": "failed", "message": str(error)})
                raise
            line.send({"kind": "done", "result": result})

    @contextmanager
    def opened(self, independent: Place) -> Iterator[SharedPlace]:
        """Give the place whose workers are all of these processes; this is the first of them."""
        own = None
        if os.environ.get(_AGENT_STORE) != "True":  # nobody has opened one
            own = distributed.TCPStore(  # type: ignore[attr-defined]
                self.host, self.port, is_master=True, wait_for_workers=False
            )
        lines = [_Line(self, f"from-{rank}", f"to-{rank}") for rank in range(1, self.size)]
        try:
            host = socket.gethostbyname(self.host)
            yield SharedPlace(independent, _Others(lines), self.size, host)
        finally:
            for line in lines:
                line.send({"is_over": True})
            del own

    def store(self) -> Any:
        """Connect to the store; who waits needs a connection of its own."""
        store = distributed.TCPStore(  # type: ignore[attr-defined]
            self.host, self.port, is_master=False, wait_for_workers=False, timeout=_LONGEST_WAIT
        )
        # What was left by processes before a restart is nobody's.
        name = f"{_PREFIX}-{os.environ.get(_RESTARTS, '0')}"
        return distributed.PrefixStore(name, store)  # type: ignore[attr-defined]


class _Line:
    """Messages between the first process and another, in their order."""

    def __init__(self, launch: Launch, heard: str, said: str) -> None:
        self._ear, self._mouth = launch.store(), launch.store()
        self._heard, self._said = heard, said
        self._received = self._sent = 0

    def send(self, values: Values) -> None:
        self._mouth.set(f"{self._said}-{self._sent}", pack(values))
        self._sent += 1

    def receive(self) -> dict[str, Any]:
        key = f"{self._heard}-{self._received}"
        content = bytes(self._ear.get(key))
        self._ear.delete_key(key)
        self._received += 1
        return unpack(content)


def _answer(line: _Line, question: Values) -> dict[str, Any]:
    line.send({"kind": "ask", "question": pack(question)})
    return line.receive()


def _check_folders(folders: dict[str, Path]) -> None:
    for path in folders.values():
        if not path.is_dir():
            raise SettingsError(
                f"{path} is not on {socket.gethostname()}. Under torchrun, all machines read the "
                "run folder: give --out a path on a disk that they share. With --on ray, none is "
                "needed."
            )


@dataclass(frozen=True)
class _Desk:
    folder: Path
    answer: Callable[[Values], dict[str, Any]]
    progress: Progress = field(default_factory=SilentProgress)

    def ask(self, question: Values) -> dict[str, Any]:
        return self.answer(question)


@dataclass(frozen=True)
class _Others:
    """A place of as many tasks as there are processes: one is done by a thread of this one."""

    lines: list[_Line]

    @property
    def jobs(self) -> int:
        return len(self.lines) + 1

    def run(self, work: Work, driver: Driver) -> None:
        """Do all tasks; see `tenfold.study.scaling.work.Place.run`."""
        work.folder.mkdir(parents=True, exist_ok=True)
        events: queue.Queue[tuple[int, dict[str, Any] | BaseException]] = queue.Queue()
        answers: queue.Queue[Values] = queue.Queue()
        tasks = [driver.next_task() for _ in range(self.jobs)]

        def own_answer(question: Values) -> dict[str, Any]:
            events.put((0, {"kind": "ask", "question": pack(question)}))
            return dict(answers.get())

        def do_own() -> None:
            common = Common(unpack(pack(work.values)), work.folders, work.device)
            try:
                result = work.function(common)({}, _Desk(work.folder, own_answer))
                events.put((0, {"kind": "done", "result": result}))
            except BaseException as error:  # whatever it is, the driver is to hear of it
                events.put((0, error))

        def listen(rank: int) -> None:
            kind = ""
            while kind not in {"done", "failed"}:
                message = self.lines[rank - 1].receive()
                kind = message["kind"]
                events.put((rank, message))

        for line in self.lines:
            line.send(
                {
                    "function": function_name(work.function),
                    "values": pack(work.values),
                    "folders": {name: str(path.resolve()) for name, path in work.folders.items()},
                    "folder": str(work.folder.resolve()),
                }
            )
        threading.Thread(target=do_own, daemon=True).start()
        for rank in range(1, self.jobs):
            threading.Thread(target=listen, args=(rank,), daemon=True).start()
        left = self.jobs
        while left:
            rank, message = events.get()
            task = tasks[rank]
            assert task is not None
            if isinstance(message, BaseException):
                raise message
            if message["kind"] == "failed":
                raise TrainingError(f"Process {rank} of {self.jobs}: {message['message']}")
            if message["kind"] == "done":
                left -= 1
                driver.on_done(task, message["result"])
                continue
            answer = driver.on_ask(task, unpack(message["question"]))
            if rank:
                self.lines[rank - 1].send(answer)
            else:
                answers.put(answer)
