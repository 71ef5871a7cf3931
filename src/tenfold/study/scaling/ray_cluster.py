"""Work done by the nodes of a Ray cluster: its actors are workers, its object store brings data.

Of Ray only the core is used. This process, the driver, alone writes the run folder and decides what
runs again; nothing that a node has on its disk is needed when it is gone.
"""

from __future__ import annotations

import contextlib
import copy
import math
import queue
import secrets
import threading
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tenfold.core.errors import DeviceError, SettingsError, TrainingError
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress
from tenfold.core.record import Record
from tenfold.core.text import counted
from tenfold.study.scaling.crew import Crew, Ending, Event, Worker
from tenfold.study.scaling.packing import unpack
from tenfold.study.scaling.ray_connection import check_versions, connect, last_line
from tenfold.study.scaling.ray_worker import (
    RemoteWorker,
    SentFiles,
    SentFolders,
    blocks_of,
    node_versions,
    remove_left_behind,
)
from tenfold.study.scaling.work import Driver, Work
from tenfold.study.scaling.worker import beginning

_SECONDS_TO_CHECK_A_NODE = 60.0
_SECONDS_TO_CLEAR = 5.0
_SECONDS_BETWEEN_COUNTS = 2.0
_SECONDS_TO_START = 15.0
"""A worker's process; until then nothing tells whether it starts or waits for room."""
_CALLS_AT_A_TIME = 3
"""Of one worker: waiting for its messages, a task, an answer."""
_CHOICE = "cluster.json"
"""In a work's folder."""


@dataclass
class RayCluster:
    """A Ray cluster that runs already; use it in a ``with`` block.

    Parameters
    ----------
    address
        HOST:PORT of its head, or ``ray`` for what RAY_ADDRESS says, or else for the one on this
        machine.
    cores_per_task
        None for as many as let all tasks, or as many as fit, run at a time.
    gpus_per_task
        None for one where the cluster has some and the device asked for is not the CPU.
    device
        ``auto``, ``cpu`` or ``cuda``.
    progress
        Who is told.

    Raises
    ------
    SettingsError
        If the address is none, or the versions on the nodes are not those here.
    TrainingError
        If there is no cluster.
    """

    address: str
    progress: Progress
    cores_per_task: int | None = None
    gpus_per_task: int | None = None
    device: str = "auto"
    _session: str = field(default_factory=lambda: secrets.token_hex(8))
    _sent: dict[Path, tuple[str, SentFiles]] = field(default_factory=dict)
    _is_ours: bool = True

    def __enter__(self) -> Self:
        self._ray = connect(self.address)
        try:
            self._check_versions()
            nodes = self._nodes()
            cores, gpus = (sum(node[kind] for node in nodes) for kind in ("CPU", "GPU"))
            if self.device == "cuda" and not gpus and not self.gpus_per_task:
                raise DeviceError(
                    "The device 'cuda' was asked for, but no node of the cluster has a GPU that "
                    "Ray knows of. Leave out --device, or start nodes with --num-gpus."
                )
            self.progress.say(
                f"Cluster: {len(nodes)} nodes, {cores:g} cores, {gpus:g} GPUs "
                f"(Ray at {self._ray.get_runtime_context().gcs_address})"
            )
        except BaseException:
            self._ray.shutdown()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sent.clear()
        with contextlib.suppress(Exception):  # a node that is gone has nothing to clear
            calls = [self._call_on(node, remove_left_behind, self._session) for node in self._ids()]
            self._ray.wait(calls, num_returns=len(calls), timeout=_SECONDS_TO_CLEAR)
        self._ray.shutdown()

    @property
    def jobs(self) -> int:
        """Give how many tasks the nodes have room for, with the cores asked for."""
        return max(1, self.room(self.cores_per_task or 1, self._gpus()))

    @property
    def host(self) -> str:
        """Give the address at which the nodes reach this process."""
        return str(self._ray.util.get_node_ip_address())

    def for_workers(self) -> RayCluster:
        """Give the same cluster for workers of one training, who compute with one core each."""
        other = copy.copy(self)
        other.cores_per_task = self.cores_per_task or 1
        return other

    def run(self, work: Work, driver: Driver) -> None:
        """Do all tasks; see `tenfold.study.scaling.work.Place.run`."""
        gpus = self._gpus()
        cores = self._cores(work, driver.left(), gpus)
        folders = {name: self._send(path) for name, path in work.folders.items()}
        workplace = _RayWorkplace(self, self._ray, work, folders, self._session, cores, gpus)
        with workplace.listening():
            Crew(work, driver, workplace).run()

    def _cores(self, work: Work, tasks: int, gpus: int) -> int:
        """Give the cores of a task: those asked for, those it had before, or what is fair now.

        The number of threads changes the order of sums: work that goes on after a kill would
        otherwise end with other bits, since fewer tasks are left.
        """
        path = work.folder / _CHOICE
        cores = self.cores_per_task
        if cores is None and path.is_file():
            before = _Choice.read(path).cores
            if self.room(before, gpus):
                return before
            self.progress.say(
                f"Tasks had {counted(before, 'core')} each before, which no node has now: the "
                "results of those that are left will differ in their last digits."
            )
        cores = cores or self._fair_cores(tasks, gpus)
        _Choice(cores=cores).write(path)
        return cores

    def room(self, cores: int, gpus: int, left_out: Container[str] = ()) -> int:
        """Give how many tasks of so many cores the nodes have room for, were they empty."""
        counts = []
        for node in self._nodes(left_out):
            count = int(node["CPU"] // cores)
            counts.append(min(count, int(node["GPU"] // gpus)) if gpus else count)
        return sum(counts)

    def _fair_cores(self, tasks: int, gpus: int) -> int:
        most = max([1, *(int(node["CPU"]) for node in self._nodes())])
        wanted = min(tasks, self.room(1, gpus))
        return max((c for c in range(1, most + 1) if self.room(c, gpus) >= wanted), default=1)

    def _gpus(self) -> int:
        if self.gpus_per_task is not None:
            return self.gpus_per_task
        return int(self.device != "cpu" and any(node["GPU"] for node in self._nodes()))

    def _nodes(self, left_out: Container[str] = ()) -> list[dict[str, float]]:
        return [
            {kind: node["Resources"].get(kind, 0.0) for kind in ("CPU", "GPU")}
            for node in self._ray.nodes()
            if node["Alive"] and node["NodeID"] not in left_out
        ]

    def _ids(self) -> list[str]:
        return [node["NodeID"] for node in self._ray.nodes() if node["Alive"]]

    def _call_on(self, node: str, function: Callable[..., Any], *arguments: Any) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(node, soft=False)
        options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": strategy}
        return self._ray.remote(**options)(function).remote(*arguments)

    def _check_versions(self) -> None:
        """Compare every node with this process, before any work."""
        hosts = {
            node["NodeID"]: node["NodeManagerAddress"]
            for node in self._ray.nodes()
            if node["Alive"]
        }
        calls = {node: self._call_on(node, node_versions) for node in hosts}
        for node, call in calls.items():
            try:
                found = self._ray.get(call, timeout=_SECONDS_TO_CHECK_A_NODE)
            except self._ray.exceptions.GetTimeoutError:
                if node not in self._ids():
                    continue
                raise TrainingError(
                    f"Node {hosts[node]} does not answer within {_SECONDS_TO_CHECK_A_NODE:.0f} s. "
                    "Stop it (ray stop there), or look at `ray status`."
                ) from None
            except self._ray.exceptions.RayError as error:
                if node not in self._ids():  # it was gone, and Ray did not know yet
                    continue
                raise SettingsError(
                    f"tenfold cannot be run on node {hosts[node]} ({last_line(error)}). Install "
                    "the same version of tenfold[ray] there as here."
                ) from error
            check_versions(found, hosts[node])

    def _send(self, folder: Path) -> tuple[str, SentFiles]:
        """Put a folder's files into the object store, once; what does not fit there spills."""
        paths = sorted(
            path
            for path in folder.rglob("*")
            if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
        )
        names = [path.relative_to(folder).as_posix() for path in paths]
        statuses = [path.stat() for path in paths]
        of_files = [(s.st_size, s.st_mtime_ns) for s in statuses]
        state = sha256_of_json([str(folder), names, of_files])[:16]
        kept = self._sent.get(folder)
        if kept is None or kept[0] != state:
            files = [
                (name, [self._ray.put(block) for block in blocks_of(path)])
                for name, path in zip(names, paths, strict=True)
            ]
            self._sent[folder] = kept = state, files
        return kept


class _Choice(Record):
    """How work was begun on a cluster."""

    cores: int


def _reason(error: BaseException) -> tuple[str, str]:
    """Give why a worker ended, of the paragraphs that Ray writes, and what may help."""
    text = " ".join(str(error).split())
    if "out of memory" in text.lower() or "OutOfMemory" in type(error).__name__:
        return "out of memory", "; fewer tasks a node (more --cores-per-task) need less memory."
    return last_line(error), ""


@dataclass
class _RayWorkplace:
    cluster: RayCluster
    ray: Any
    work: Work
    folders: SentFolders
    session: str
    cores: int
    gpus: int
    is_remote: bool = True
    _left_out: set[str] = field(default_factory=set)
    _answers: queue.SimpleQueue[tuple[_RayWorker, Any] | None] = field(
        default_factory=queue.SimpleQueue
    )
    _put: Callable[[Event], None] = lambda _event: None
    _counted: float = -_SECONDS_BETWEEN_COUNTS
    _room: int = 0
    _unplaced: dict[_RayWorker, float] = field(default_factory=dict)
    """Workers that run on no node as far as is known, and since when."""
    _versions: dict[str, str] = field(default_factory=node_versions)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take workers' messages within the block."""
        thread = threading.Thread(target=self._listen, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._answers.put(None)
            thread.join()

    def room(self) -> int:
        """Give what fits on the nodes, and one more: it is there when a node joins."""
        now = time.monotonic()
        if now - self._counted >= _SECONDS_BETWEEN_COUNTS:
            self._counted, self._room = now, self._fitting() + 1
        return self._room

    def _fitting(self) -> int:
        return self.cluster.room(self.cores, self.gpus, self._left_out)

    def start(self, put: Callable[[Event], None]) -> Worker:
        self._put = put
        options: dict[str, Any] = {
            "num_cpus": self.cores,
            "num_gpus": self.gpus,
            "max_concurrency": _CALLS_AT_A_TIME,
            "max_restarts": 0,
        }
        if self._left_out:
            from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

            others = NotIn(*self._left_out)  # type: ignore[no-untyped-call]
            options["scheduling_strategy"] = NodeLabelSchedulingStrategy({"ray.io/node-id": others})
        device = "cuda" if self.gpus else "cpu"
        begin = beginning(self.work, threads=self.cores, device=device)
        actor = self.ray.remote(**options)(RemoteWorker).remote(
            begin, self.folders, self.session, self._versions
        )
        worker = _RayWorker(self.ray, actor)
        self._unplaced[worker] = time.monotonic()
        self._ask(worker)
        return worker

    def leave_out(self, worker: Worker, reason: str) -> bool:
        del reason
        assert isinstance(worker, _RayWorker)
        self._left_out.add(worker.node)
        alive = {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}
        return bool(alive - self._left_out)

    def waiting_for(self) -> str:
        asked = f"a task takes {counted(self.cores, 'core')}"
        asked += f" and {counted(self.gpus, 'GPU')}" if self.gpus else ""
        if self._fitting() == 0:
            return f"no node is as large as a task ({asked}); one that joins is used"
        waiting = [w for w in list(self._unplaced) if not (w.where or w.is_ended)]
        self._unplaced = {worker: self._unplaced[worker] for worker in waiting}
        if time.monotonic() - min(self._unplaced.values(), default=math.inf) < _SECONDS_TO_START:
            return ""
        free = self.ray.available_resources()
        if free.get("CPU", 0) < self.cores or free.get("GPU", 0) < self.gpus:
            return f"the cluster is full ({asked}; {free.get('CPU', 0):g} cores are free)"
        return ""

    def _ask(self, worker: _RayWorker) -> None:
        future = worker.actor.next_messages.remote().future()
        future.add_done_callback(lambda done: self._answers.put((worker, done)))

    def _listen(self) -> None:
        """Take what workers say, and ask again; Ray's own threads must not wait for it."""
        while (answer := self._answers.get()) is not None:
            worker, future = answer
            if worker.is_ended:
                continue
            try:
                messages = future.result()
            except Exception as error:
                worker.error = error
                self._put((worker, None))
                continue
            for message in messages:
                if not worker.where:
                    worker.note_place(message)
                self._put((worker, message))
            self._ask(worker)


@dataclass(eq=False)
class _RayWorker:
    ray: Any
    actor: Any
    where: str = ""
    node: str = ""
    error: BaseException | None = None
    is_ended: bool = False

    def note_place(self, message: bytes) -> None:
        values = unpack(message)
        self.where, self.node = values.get("host", ""), values.get("node", "")

    def begin_task(self, message: bytes) -> None:
        self.actor.begin_task.remote(message)

    def answer(self, values: bytes) -> None:
        self.actor.answer.remote(values)

    def end(self) -> Ending:
        self.is_ended = True
        with contextlib.suppress(Exception):  # it may be gone, and so may the cluster
            self.ray.kill(self.actor)
        if self.error is None:
            return Ending("ended")
        alive = {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}
        return Ending(*_reason(self.error), is_machine=bool(self.node) and self.node not in alive)
