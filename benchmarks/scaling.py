"""What do a cluster's nodes bring, and what do they cost?

    python benchmarks/scaling.py [--parts nodes,overhead,driver,cluster-driver] [--runs 3] [--quick]

Starts a Ray cluster of two nodes of one core each on this machine's loopback.

- **nodes**: a search of the same trials on one node, on both, and by Ray Tune on both (if it can
  be imported), in turns; trials an hour, workers' start included. The trials train size S of the
  fast network on made-up images of 32 × 32 pixels.
- **overhead**: tasks that do nothing, one after the other on one warm worker a node.
- **driver**: 10,000 tasks that sleep by 512 workers that are simulated in this process: the
  driver's share of a core and its memory, and whether results are written as they come.
- **cluster-driver**: as many tasks a second by a few real workers of a cluster that believes it has
  512 cores.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from ray_nodes import RayNodes
from scaling_tasks import sleep
from tenfold.core.progress import SilentProgress
from tenfold.study.recipe import StudySettings, load_recipe
from tenfold.study.scaling.crew import Crew, Ending, Event, Worker
from tenfold.study.scaling.packing import pack, unpack
from tenfold.study.scaling.ray_cluster import RayCluster
from tenfold.study.scaling.ray_connection import connect
from tenfold.study.scaling.work import Driver, Place, Task, Work
from tenfold.study.study import Study

SUPPORT = sys.path[0]
PARTS = ("nodes", "overhead", "driver", "cluster-driver")
BELIEVED_CORES, BELIEVED_WORKERS = 512, 16


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    trials: int = 16
    images: int = 2_000
    epochs: int = 4
    quick_tasks: int = 300
    sleeping_tasks: int = 10_000
    sleep_seconds: float = 10.0


QUICK = Size(4, 500, 1, 50, 1_000, 1.0)


def search_settings(folder: Path, size: Size) -> StudySettings:
    """Give the settings of the search, on made-up images."""
    generator = np.random.default_rng(0)
    path = folder / "images.npz"
    np.savez(
        path,
        images=generator.integers(0, 256, (size.images, 32, 32, 3), np.uint8),
        labels=np.arange(size.images) % 10,
    )
    return load_recipe("fast").with_changes(
        {
            "data.source": "npz",
            "data.location": str(path),
            "model.widths": [32, 64, 64],
            "training.precision": "float32",
            "training.least_steps": 1,
            "tune.trials": size.trials,
            "tune.epochs": size.epochs,
            "tune.sampler": "random",
            "tune.pruner": "none",
            "tune.space": [{"name": "training.learning_rate", "low": 0.1, "high": 1.0}],
        }
    )


@dataclass
class Watched:
    """A place that notes the tasks and the seconds that they took.

    Parameters
    ----------
    place
        Where they run.
    """

    place: Place
    work: Work | None = None
    inputs: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def jobs(self) -> int:
        """Give how many tasks run at a time."""
        return self.place.jobs

    def run(self, work: Work, driver: Driver) -> None:
        """Do all tasks."""

        def next_task() -> Task | None:
            task = driver.next_task()
            if task is not None:
                self.inputs.append(dict(task.inputs))
            return task

        self.work = work
        started = time.perf_counter()
        self.place.run(work, replace(driver, next_task=next_task))
        self.seconds = time.perf_counter() - started


@contextlib.contextmanager
def cluster(nodes: RayNodes, cores_per_task: int = 1) -> Iterator[RayCluster]:
    """Give the cluster as a place for tasks of so many cores."""
    with RayCluster(nodes.address, SilentProgress(), cores_per_task, device="cpu") as place:
        yield place


def measure_nodes(nodes: RayNodes, folder: Path, size: Size, runs: int) -> None:
    """Compare one node, two nodes, and Ray Tune on two."""
    settings = search_settings(folder, size)
    seconds: dict[str, list[float]] = {"one node": [], "two nodes": [], "two nodes, Ray Tune": []}
    for run in range(runs):
        nodes.kill_node(nodes.second)
        wait_for_nodes(nodes, 1)
        one = watched_search(nodes, settings, folder / f"one-{run}")
        nodes.start(nodes.second)
        wait_for_nodes(nodes, 2)
        two = watched_search(nodes, settings, folder / f"two-{run}")
        found = one.seconds, two.seconds, tune_seconds(nodes, two) if has_tune() else None
        for name, value in zip(seconds, found, strict=True):
            seconds[name] += [] if value is None else [value]
            print(f"run {run + 1}, {name}: {value} s", flush=True)
    print("\n| search of the same trials | trials an hour | seconds, each run |\n|---|---|---|")
    for name, times in seconds.items():
        each = ", ".join(f"{one:.1f}" for one in times)
        hourly = f"{3600 * size.trials / statistics.median(times):,.0f}" if times else "-"
        print(f"| {name} | {hourly} | {each or 'ray.tune cannot be imported'} |")
    ratio = statistics.median(seconds["one node"]) / statistics.median(seconds["two nodes"])
    print(f"\nTwo nodes do {ratio:.2f} times the trials of one.\n")


def watched_search(nodes: RayNodes, settings: StudySettings, out: Path) -> Watched:
    """Search on the nodes that are there."""
    with cluster(nodes) as place:
        watched = Watched(place)
        list(Study(settings, out, device="cpu", place=watched).run("tune"))
    return watched


def wait_for_nodes(nodes: RayNodes, count: int) -> None:
    """Wait until Ray knows that so many nodes are there."""
    ray = connect(nodes.address)
    while sum(node["Alive"] for node in ray.nodes()) != count:
        time.sleep(0.5)
    ray.shutdown()


def has_tune() -> bool:
    """Say whether Ray Tune can be imported."""
    try:
        import ray.tune  # noqa: F401
    except ImportError:
        return False
    return True


def tune_seconds(nodes: RayNodes, watched: Watched) -> float:
    """Give the seconds that Ray Tune takes for the same trials, each in a process of its own."""
    from ray import tune

    assert watched.work is not None
    work, inputs = watched.work, watched.inputs
    acquire, values = str(work.folders["acquire"]), dict(work.values)

    def train(config: dict[str, Any]) -> dict[str, float]:
        from tenfold.study.scaling.here import _Desk
        from tenfold.study.scaling.work import Common, Driver, Task
        from tenfold.study.search.trials import trial_worker
        from tenfold.training.device import Device

        do = trial_worker(Common(values, {"acquire": Path(acquire)}, Device("cpu", "", 1)))
        driver = Driver(lambda: None, lambda: 0, print, print, lambda *_: {"is_pruned": False})
        with tempfile.TemporaryDirectory() as name:
            desk = _Desk(Path(name), Task("trial"), driver)
            result = json.loads(do(inputs[config["number"]], desk))
        return {"value": result["value"]}

    ray = connect(nodes.address)
    with tempfile.TemporaryDirectory() as name:
        tuner = tune.Tuner(
            tune.with_resources(train, {"cpu": 1}),
            param_space={"number": tune.grid_search(list(range(len(inputs))))},
            run_config=tune.RunConfig(storage_path=name, verbose=0),
        )
        started = time.perf_counter()
        found = tuner.fit()
        seconds = time.perf_counter() - started
    ray.shutdown()
    assert not found.errors, found.errors
    return seconds


@dataclass
class Timed:
    """Hands out tasks that sleep, and writes each result as it comes.

    Parameters
    ----------
    count
        Of tasks.
    seconds
        That each sleeps.
    folder
        Where results are written.
    """

    count: int
    seconds: float
    folder: Path
    done: list[float] = field(default_factory=list)
    begun: int = 0

    def run(self, run: Callable[[Work, Driver], None]) -> None:
        """Have all of them done."""
        driver = Driver(self._next, lambda: self.count - self.begun, self._end, print)
        run(Work(sleep, self.folder), driver)
        assert len(self.done) == len(list(self.folder.glob("*.result"))) == self.count

    def _next(self) -> Task | None:
        if self.begun == self.count:
            return None
        self.begun += 1
        return Task(f"task {self.begun}", {"seconds": self.seconds})

    def _end(self, task: Task, result: bytes) -> None:
        (self.folder / f"{task.name}.result").write_bytes(result)
        self.done.append(time.perf_counter())


def measure_overhead(nodes: RayNodes, folder: Path, size: Size) -> None:
    """Time tasks that do nothing."""
    nodes.start(nodes.second)
    wait_for_nodes(nodes, 2)
    folder.mkdir()
    timed = Timed(size.quick_tasks, 0.0, folder)
    with cluster(nodes) as place:
        timed.run(place.run)
    workers = 2
    gaps = np.diff(timed.done[len(timed.done) // 2 :])  # by then both have begun
    print(
        f"Overhead of a task on a warm worker: {1000 * workers * gaps.mean():.1f} ms "
        f"({len(gaps)} tasks, {workers} workers on two nodes)\n",
        flush=True,
    )


class SimulatedWorker:
    """A worker that only waits, as the driver sees it."""

    where = "simulated"

    def __init__(self, place: Simulation, put: Callable[[Event], None]) -> None:
        self.place, self.put = place, put
        put((self, pack({"kind": "ready"})))

    def begin_task(self, message: bytes) -> None:
        """Be done with it in as many seconds as it says."""
        inputs = unpack(unpack(message)["inputs"])
        self.place.later(inputs["seconds"], self)

    def answer(self, values: bytes) -> None:
        """Nothing was asked."""

    def end(self) -> Ending:
        """Be gone."""
        return Ending("ended")


@dataclass
class Simulation:
    """A workplace of many workers that only wait; one thread knows whose time is up."""

    workers: int
    is_remote: bool = True
    _due: list[tuple[float, int, SimulatedWorker]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _number: int = 0

    def __post_init__(self) -> None:
        threading.Thread(target=self._tell, daemon=True).start()

    def room(self) -> int:
        """Give how many workers there may be."""
        return self.workers

    def start(self, put: Callable[[Event], None]) -> Worker:
        """Start one."""
        return SimulatedWorker(self, put)

    def leave_out(self, worker: Worker, reason: str) -> bool:
        """Leave out no one."""
        del worker, reason
        return False

    def waiting_for(self) -> str:
        """Wait for nothing."""
        return ""

    def later(self, seconds: float, worker: SimulatedWorker) -> None:
        """Say in so many seconds that a worker's task is done."""
        with self._changed:
            self._number += 1
            heapq.heappush(self._due, (time.monotonic() + seconds, self._number, worker))
            self._changed.notify()

    def _tell(self) -> None:
        message = pack({"kind": "done", "result": b"slept"})
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    wait = self._due[0][0] - time.monotonic() if self._due else None
                    self._changed.wait(wait)
                worker = heapq.heappop(self._due)[2]
            worker.put((worker, message))


def print_driver(name: str, timed: Timed, run: Callable[[Work, Driver], None]) -> None:
    """Run tasks and print what the driver took for it."""
    timed.folder.mkdir()
    processor, started = time.process_time(), time.perf_counter()
    timed.run(run)
    seconds = time.perf_counter() - started
    share = (time.process_time() - processor) / seconds
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    half = timed.done[len(timed.done) // 2] - started
    print(
        f"Driver of {timed.count:,} tasks by {name}: {share:.3f} of a core for {seconds:.0f} s "
        f"({timed.count / seconds:.0f} tasks a second), at most {memory:.0f} MiB; half of the "
        f"results were written after {half:.0f} s\n",
        flush=True,
    )


def measure_driver(folder: Path, size: Size) -> None:
    """Measure this process as the driver of simulated workers."""
    timed = Timed(size.sleeping_tasks, size.sleep_seconds, folder)

    def run(work: Work, driver: Driver) -> None:
        Crew(work, driver, Simulation(BELIEVED_CORES)).run()

    print_driver(f"{BELIEVED_CORES} simulated workers", timed, run)


def measure_cluster_driver(folder: Path, size: Size, network: int) -> None:
    """Measure this process as the driver of a few workers that do as much as many would."""
    with RayNodes(network, cores=BELIEVED_CORES // 2) as nodes:
        nodes.start(nodes.second)
        wait_for_nodes(nodes, 2)
        seconds = size.sleep_seconds * BELIEVED_WORKERS / BELIEVED_CORES
        timed = Timed(size.sleeping_tasks, seconds, folder)
        cores = BELIEVED_CORES // BELIEVED_WORKERS
        with cluster(nodes, cores) as place:
            print_driver(f"{place.jobs} workers on Ray", timed, place.run)


def main() -> None:
    """Measure the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    parser.add_argument("--network", type=int, default=10, help="the addresses are 127.0.NETWORK.*")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size()
    parts = arguments.parts.split(",")
    here = [SUPPORT, os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, here))
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "driver" in parts:  # first: the peak of memory is the process's
            measure_driver(folder / "driver", size)
        if {"nodes", "overhead"} & set(parts):
            with RayNodes(arguments.network) as nodes:
                if "overhead" in parts:
                    measure_overhead(nodes, folder / "overhead", size)
                if "nodes" in parts:
                    measure_nodes(nodes, folder, size, arguments.runs)
        if "cluster-driver" in parts:
            measure_cluster_driver(folder / "cluster-driver", size, arguments.network + 1)


if __name__ == "__main__":
    main()
