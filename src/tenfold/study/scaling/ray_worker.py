"""A worker as a Ray actor, and the disk of the node that it is on.

All that goes through Ray is bytes in our own format, and whole blocks of files. Ray itself pickles
the names of what is called here, and its own references.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import platform
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock

from tenfold.core.files import storage_errors
from tenfold.study.scaling.packing import pack

SCRATCH_VARIABLE = "TENFOLD_SCRATCH"
"""Environment variable of a node: folder for its copies of data, in the place of the system's."""
BLOCK_BYTES = 2**24
_SECONDS_BEFORE_A_SIGN_OF_LIFE = 20.0
_SECONDS_BEFORE_LEFT_BEHIND = 60.0
_PREFIX = "tenfold-scratch-"


SentFiles = list[tuple[str, list[Any]]]
"""Of a folder: paths in it, and references to their blocks."""
SentFolders = dict[str, tuple[str, SentFiles]]
"""By name: what says which state of the folder this is, and its files."""


def node_versions() -> dict[str, str]:
    """Give what has to be the same on all nodes, and the node's processor."""
    return {
        "Python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "tenfold": f"{importlib.metadata.version('tenfold')} (source {source_digest()})",
        "Ray": importlib.metadata.version("ray"),
    }


def version_difference(found: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """Say what a node has in another version than the driver; empty if nothing."""
    for name, version in ours.items():
        if found.get(name) != version:
            return f"has {name} {found.get(name)}, but the driver has {name} {version}"
    return ""


def source_digest() -> str:
    """Give a digest of tenfold's own files: two of one version may differ."""
    import tenfold

    root = Path(tenfold.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".toml"):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


class RemoteWorker:
    """What the driver calls; tasks are done by one thread, messages wait until they are asked for.

    Parameters
    ----------
    begin
        See `tenfold.study.scaling.worker.beginning`.
    folders
        What the tasks read.
    session
        The driver's, by which a node's folder is known.
    versions
        The driver's; a node that joined late was not asked for its own before.
    """

    def __init__(
        self, begin: bytes, folders: SentFolders, session: str, versions: dict[str, str]
    ) -> None:
        self._messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._server: Any = None
        arguments = (begin, folders, session, versions)
        threading.Thread(target=self._work, args=arguments, daemon=True).start()

    def next_messages(self) -> list[bytes]:
        """Wait until there are messages and give them; none after a while, as a sign of life."""
        try:
            found = [self._messages.get(timeout=_SECONDS_BEFORE_A_SIGN_OF_LIFE)]
        except queue.Empty:
            return []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._messages.get_nowait())
        return found

    def begin_task(self, message: bytes) -> None:
        """Take a task."""
        self._tasks.put(message)

    def answer(self, values: bytes) -> None:
        """Take the answer to what the task asked."""
        self._server.answer(values)

    def _work(
        self, begin: bytes, folders: SentFolders, session: str, versions: dict[str, str]
    ) -> None:
        self._messages.put(pack({"kind": "placed", **_whereabouts()}))
        if difference := version_difference(node_versions(), versions):
            self._messages.put(pack({"kind": "unusable", "message": f"It {difference}."}))
            return
        from tenfold.study.scaling.worker import TaskServer, failure

        try:
            scratch = NodeScratch(session)
            here = {name: scratch.folder(name, *sent) for name, sent in folders.items()}
            own = scratch.path / f"worker-{os.getpid()}"
            self._server = TaskServer(begin, here, self._messages.put, own)
        except BaseException as error:  # whatever it is, the driver is to hear of it
            self._messages.put(failure(error))
            return
        self._messages.put(pack({"kind": "ready"}))
        while True:
            self._server.run(self._tasks.get())


def _whereabouts() -> dict[str, str]:
    import ray

    context = ray.get_runtime_context()
    host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return {"node": context.get_node_id(), "host": host}


class NodeScratch:
    """A node's own copy of what a driver sent, shared by its workers and removed after them.

    Raises
    ------
    StorageError
        If the disk is full or not permitted.
    """

    def __init__(self, session: str) -> None:
        import ray

        node = ray.get_runtime_context().get_node_id()
        self.path = scratch_root() / f"{_PREFIX}{session}-{node[:16]}"
        with storage_errors(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _live_lock(self.path)
        fcntl.flock(self._lock, fcntl.LOCK_SH)  # until this process ends, however it does
        remove_left_behind()

    def folder(self, name: str, state: str, files: SentFiles) -> Path:
        """Give a folder in a state, fetched unless another worker of this node did, by blocks."""
        import ray

        states = self.path / "folders" / name
        target = states / state
        with storage_errors(target):
            states.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{states}.lock"):
                if target.is_dir():
                    return target
                part = target.with_name(f"{state}.part")
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                try:
                    for relative, blocks in files:
                        path = part / relative
                        path.parent.mkdir(parents=True, exist_ok=True)
                        with path.open("wb") as opened:
                            for block in blocks:
                                content: Any = ray.get(block)
                                opened.write(content.data)
                except OSError:
                    shutil.rmtree(part, ignore_errors=True)  # what filled the disk
                    raise
                part.rename(target)
        return target


def scratch_root() -> Path:
    """Give the folder in which nodes keep what drivers sent."""
    return Path(os.environ.get(SCRATCH_VARIABLE) or tempfile.gettempdir())


def remove_left_behind(session: str = "") -> None:
    """Remove what workers left that are gone; with a session, only what was its own, at once."""
    for folder in scratch_root().glob(f"{_PREFIX}{session}*"):
        try:
            is_new = time.time() - folder.stat().st_mtime < _SECONDS_BEFORE_LEFT_BEHIND
            if is_new and not session:
                continue  # somebody may just be about to lock it
            with _live_lock(folder) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, or another user's


def _live_lock(folder: Path) -> IO[bytes]:
    return (folder / "live.lock").open("ab")


def blocks_of(path: Path) -> Iterator[Any]:
    """Give a file's content in blocks, as arrays of bytes: Ray hands those on without a copy."""
    with path.open("rb") as file:
        while content := file.read(BLOCK_BYTES):
            yield np.frombuffer(content, np.uint8)
