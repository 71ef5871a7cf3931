"""The worker's side: does one task after the other in a process of its own, and tells its driver.

How messages travel is not known here: a pipe or a cluster brings them.
"""

from __future__ import annotations

import errno
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from tenfold.core.errors import StorageError, TenfoldError
from tenfold.core.files import write_bytes
from tenfold.core.progress import Progress, TaskContext
from tenfold.study.scaling.packing import Values, pack, unpack
from tenfold.study.scaling.work import Common, DoTask, Work, function_name, function_named
from tenfold.training.device import choose_device

_SECONDS_BETWEEN_WORDS = 1.0
FILE = "file:"
"""Before a file's path, as the name of its content in a message."""
Emit = Callable[[bytes], object]


def beginning(work: Work, *, threads: int, device: str) -> bytes:
    """Give the first message to a worker, the folders left out."""
    return pack(
        {
            "function": function_name(work.function),
            "values": pack(work.values),
            "device": device,
            "threads": threads,
            "seconds": work.seconds_between_files,
        }
    )


class TaskServer:
    """Does tasks, one at a time.

    Parameters
    ----------
    begin
        See `beginning`.
    folders
        Where this machine has the folders of the work.
    emit
        Takes each message to the driver, from any thread.
    scratch
        Where tasks' files may lie meanwhile; None on the driver's own machine, where they lie in
        the work's folder.
    """

    def __init__(
        self, begin: bytes, folders: Mapping[str, Path], emit: Emit, scratch: Path | None = None
    ) -> None:
        values = unpack(begin)
        device = choose_device(values["device"])
        torch.set_num_threads(values["threads"])
        common = Common(
            unpack(values["values"]), folders, replace(device, threads=values["threads"])
        )
        self._emit = emit
        self._scratch = scratch
        self._seconds = float(values["seconds"])
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._get_ready: Callable[[], DoTask] = lambda: function_named(values["function"])(common)
        self._do: DoTask | None = None

    def answer(self, values: bytes) -> None:
        """Take the driver's answer to what a task asked."""
        self._answers.put(unpack(values))

    def run(self, message: bytes) -> None:
        """Do a task and tell how it ended."""
        task = unpack(message)
        try:
            if self._do is None:
                self._do = self._get_ready()
            with self._folder(task) as folder:
                desk = _Desk(folder, self._emit, self._answers)
                result = self._do(unpack(task["inputs"]), desk)
            self._emit(pack({"kind": "done", "result": result}))
        except BaseException as error:  # whatever it is, the driver is to hear of it
            self._emit(failure(error))

    @contextmanager
    def _folder(self, task: dict[str, Any]) -> Iterator[Path]:
        """Give the task's files a place, and tell the driver of what becomes of them."""
        if self._scratch is None:
            yield Path(task["folder"])
            return
        folder = self._scratch / f"task-{task['number']}"
        contents = {
            name.removeprefix(FILE): value for name, value in task.items() if name.startswith(FILE)
        }
        for name, content in contents.items():
            write_bytes(folder / name, content)
        folder.mkdir(parents=True, exist_ok=True)
        mirror = TaskFiles(folder, task["files"])
        mirror.changes()  # what came from the driver need not go back
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(self._seconds):
                self._tell_files(mirror)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield folder
        finally:
            is_over.set()
            watcher.join()
        self._tell_files(mirror)

    def _tell_files(self, mirror: TaskFiles) -> None:
        changed, removed = mirror.changes()
        if changed or removed:
            contents = {FILE + name: content for name, content in changed.items()}
            self._emit(pack({"kind": "files", "removed": removed, **contents}))


def failure(error: BaseException) -> bytes:
    """Give the message that says how a task or a worker failed."""
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, StorageError) or is_full:
        return pack({"kind": "unusable", "error": type(error).__name__, "message": str(error)})
    return pack(
        {
            "kind": "failed",
            "error": type(error).__name__,
            "message": str(error),
            "is_ours": isinstance(error, TenfoldError),
            "trace": "".join(traceback.format_exception(error)),
        }
    )


@dataclass
class TaskFiles:
    """The files of a task, and which of them are new since somebody asked."""

    folder: Path
    pattern: str | None
    _known: dict[str, tuple[int, int]] = field(default_factory=dict)

    def changes(self) -> tuple[dict[str, bytes], list[str]]:
        """Give the files that changed, by their path in the folder, and those that are gone."""
        changed: dict[str, bytes] = {}
        found: dict[str, tuple[int, int]] = {}
        for name in self.names():
            path = self.folder / name
            try:
                status = path.stat()
                state = status.st_mtime_ns, status.st_size
                if self._known.get(name) != state:
                    changed[name] = path.read_bytes()
            except FileNotFoundError:
                continue
            found[name] = state
        removed = [name for name in self._known if name not in found]
        self._known = found
        return changed, removed

    def names(self) -> list[str]:
        """Give the files there are, the oldest first: what says that others are whole is last.

        Half-written ones are none.
        """
        if self.pattern is None:
            return []
        times = {}
        for path in self.folder.glob(self.pattern):
            if path.suffix != ".part" and path.is_file():
                with suppress(FileNotFoundError):
                    times[path.relative_to(self.folder).as_posix()] = path.stat().st_mtime_ns
        return sorted(times, key=lambda name: (times[name], name))


def is_inside(name: str) -> bool:
    """Say whether a file's path stays in its folder, whoever named it."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)


@dataclass(frozen=True)
class _Desk:
    folder: Path
    emit: Emit
    answers: queue.Queue[dict[str, Any]]

    @property
    def progress(self) -> Progress:
        return _Teller(self.emit)

    def ask(self, question: Values) -> dict[str, Any]:
        self.emit(pack({"kind": "ask", "question": pack(question)}))
        return self.answers.get()


@dataclass(frozen=True)
class _Teller:
    """Tells the driver how far the task is, at most once a second."""

    emit: Emit

    def say(self, message: str) -> None:
        self.emit(pack({"kind": "said", "message": message}))

    def task(
        self, description: str, total: float, *, done: float = 0.0, unit: str = "it"
    ) -> TaskContext:
        del unit
        return _told(self.emit, description, total, done)


@contextmanager
def _told(emit: Emit, description: str, total: float, done: float) -> Iterator[_ToldTask]:
    yield _ToldTask(emit, description, total, done)


@dataclass
class _ToldTask:
    emit: Emit
    description: str
    total: float
    done: float
    told: float = field(default_factory=time.monotonic)

    def advance(self, units: float = 1.0, *, detail: str = "") -> None:
        self.done += units
        now = time.monotonic()
        if now - self.told >= _SECONDS_BETWEEN_WORDS:
            self.told = now
            share = self.done / self.total if self.total else 1.0
            text = f"{self.description} {detail}".strip()
            self.emit(pack({"kind": "progress", "share": share, "text": text}))
