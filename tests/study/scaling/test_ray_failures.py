"""What a cluster can lack: room, disk, memory, GPUs, and the cluster itself."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ray_kills
from ray_kills import make_study
from ray_nodes import OWN_MOUNTS, RayNodes, wait_for
from scaling_tasks import Holder, do_as_told, log_lines
from tenfold.core.errors import DeviceError
from tenfold.core.progress import SilentProgress
from tenfold.study.scaling.ray_cluster import RayCluster
from tenfold.study.scaling.work import Driver, Place, Task, Work

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]


class Notes(SilentProgress):
    """Keeps what a user is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "numbers.npy", np.zeros(1_000_000, np.uint8))
    folders = {"data": tmp_path / "data"}
    return Work(do_as_told, tmp_path / "work", {"log": str(tmp_path)}, folders)


class EnoughError(Exception):
    """The test has seen what it waited for."""


def run(
    place: Place,
    work: Work,
    notes: Notes,
    *orders: str,
    on_look: Callable[[str], object] = lambda _state: None,
    is_enough: Callable[[], bool] = lambda: True,
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Give what was done and what was lost."""
    left = [Task(f"{place} {order}", {"order": order}) for place, order in enumerate(orders)][::-1]
    done: dict[str, bytes] = {}
    lost: dict[str, str] = {}
    driver = Driver(
        next_task=lambda: left.pop() if left else None,
        left=lambda: len(left),
        on_done=lambda task, result: done.update({task.name: result}),
        on_lost=lambda task, reason: lost.update({task.name: reason}),
        on_ask=lambda _task, _question: {"is_enough": is_enough()},
        on_look=on_look,
        progress=notes,
    )
    place.run(work, driver)
    return done, lost


def has_own_mounts() -> bool:
    """Say whether a process may have a disk of its own here."""
    folder = "/mnt"
    found = subprocess.run([*OWN_MOUNTS, "64", folder, "true"], capture_output=True, check=False)
    return found.returncode == 0


class TestAFullDisk:
    @pytest.fixture
    def small_disk(self, ray_nodes: RayNodes, tmp_path: Path) -> Iterator[None]:
        """Give the second node a disk with less room than the data take, and three cores."""
        if not has_own_mounts():
            pytest.skip("needs `unshare --user --mount`")
        ray_nodes.kill_node(ray_nodes.second)
        folder = tmp_path / "disk"
        folder.mkdir()
        ray_nodes.start(ray_nodes.second, "--num-cpus=3", disk=(600, folder))
        yield
        ray_nodes.kill_node(ray_nodes.second)

    def test_of_one_node_leaves_it_out(
        self, small_disk: None, ray_nodes: RayNodes, work: Work, notes: Notes
    ) -> None:
        with RayCluster(ray_nodes.address, notes, device="cpu") as place:
            done, lost = run(
                place,
                work,
                notes,
                *["until-told"] * 4,
                is_enough=lambda: any("disk is full" in line for line in notes.said),
            )
        assert len(done) == 4
        assert not lost
        [said] = [line for line in notes.said if "disk is full" in line]
        assert said.startswith(f"{ray_nodes.second}: ")

    def test_of_all_nodes_that_are_large_enough_waits_for_another(
        self, small_disk: None, ray_nodes: RayNodes, work: Work, notes: Notes
    ) -> None:
        def look(state: str) -> None:
            if "no node is as large" in state:
                raise EnoughError

        with (
            RayCluster(ray_nodes.address, notes, cores_per_task=3, device="cpu") as place,
            pytest.raises(EnoughError),
        ):
            run(place, work, notes, "done", on_look=look)
        assert any(line.startswith(f"{ray_nodes.second}: ") for line in notes.said)


def test_a_store_that_is_smaller_than_the_data(
    ray_place: Place, work: Work, notes: Notes, tmp_path: Path
) -> None:
    (tmp_path / "data" / "numbers.npy").unlink()
    digest = hashlib.sha256()
    for number in range(3):  # a node's store has 80 MB
        content = np.random.default_rng(number).bytes(50_000_000)
        (tmp_path / "data" / f"{number}.bin").write_bytes(content)
        digest.update(content)
    done, _ = run(ray_place, work, notes, "digest", "digest")
    assert set(done.values()) == {digest.hexdigest().encode()}


@pytest.fixture
def two_nodes(ray_nodes: RayNodes) -> RayNodes:
    ray_nodes.start(ray_nodes.second)
    return ray_nodes


def test_a_task_that_takes_too_much_memory(ray_nodes: RayNodes, work: Work, notes: Notes) -> None:
    """Ray ends what takes a node's memory; the others go on."""
    ray_nodes.kill_node(ray_nodes.second)
    lines = Path("/proc/meminfo").read_text().splitlines()
    memory = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    threshold = 1 - (memory["MemAvailable"] - 1.5 * 2**20) / memory["MemTotal"]
    variables = {"RAY_memory_usage_threshold": f"{threshold:.3f}"}
    ray_nodes.start(ray_nodes.second, "--num-cpus=2", variables=variables)
    with RayCluster(ray_nodes.address, notes, cores_per_task=2, device="cpu") as place:
        done, lost = run(place, work, notes, "hog", "done")
    ray_nodes.kill_node(ray_nodes.second)
    assert done == {"1 done": b"done"}
    assert "ended 3 times (out of memory on" in lost["0 hog"]


def test_ctrl_c_ends_all(two_nodes: RayNodes, work: Work, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom scaling_tasks import Holder, do_as_told, log_lines\n"
        "from tenfold.core.progress import SilentProgress\n"
        "from tenfold.study.scaling.ray_cluster import RayCluster\n"
        "from tenfold.study.scaling.work import Task, Work, run_tasks\n"
        f"work = Work(do_as_told, Path({str(work.folder)!r}), {{'log': {str(tmp_path)!r}}})\n"
        "tasks = [Task(str(n), {'order': 'wait'}) for n in range(2)]\n"
        f"with RayCluster({two_nodes.address!r}, SilentProgress(), device='cpu') as place:\n"
        "    run_tasks(place, work, tasks, print)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(log_lines(tmp_path)) == 2 or parent.poll() is not None)
    parent.send_signal(signal.SIGINT)
    _, errors = parent.communicate(timeout=30)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    for _, process, _ in log_lines(tmp_path):
        wait_for(lambda process=process: not Path(f"/proc/{process}").exists(), seconds=5)


@pytest.mark.parametrize("what", ["head", "all"])
def test_a_lost_head_ends_the_command_which_goes_on_without(what: str, tmp_path: Path) -> None:
    settings = make_study(tmp_path / "images", trials=4, epochs=100)
    command = ray_kills.command(tmp_path / "run", settings)
    work = tmp_path / "run" / ".tune.partial" / ".work"
    with RayNodes(30) as nodes:  # its own, since it is lost
        nodes.start(nodes.second)
        on_cluster = "--on", nodes.address, "--cores-per-task", "1"
        driver = subprocess.Popen(
            [*command, *on_cluster], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: list(work.glob("trial_*")) or driver.poll() is not None)
        for address in (nodes.head, *([nodes.second] if what == "all" else [])):
            nodes.kill_node(address)
        _, errors = driver.communicate(timeout=50)
        assert driver.returncode == 2, errors
        assert "The Ray cluster is lost: its head at" in errors
        assert "the same command goes on" in errors
    here = [*command, "--jobs", "2"]
    assert subprocess.run(here, capture_output=True, check=False).returncode == 0
    trials, files = ray_kills.results(tmp_path / "run")
    assert len(trials) == 4
    assert files


@pytest.mark.parametrize(
    ("asked", "named"), [({"gpus_per_task": 1}, "1 GPU"), ({"cores_per_task": 4}, "4 cores")]
)
def test_what_no_node_has_is_waited_for(
    two_nodes: RayNodes,
    work: Work,
    notes: Notes,
    asked: dict[str, Any],
    named: str,
) -> None:
    def look(state: str) -> None:
        if "no node is as large" in state and named in state:
            raise EnoughError

    with (
        RayCluster(two_nodes.address, notes, device="cpu", **asked) as place,
        pytest.raises(EnoughError),
    ):
        run(place, work, notes, "done", on_look=look)


def test_a_full_cluster_is_waited_for(
    two_nodes: RayNodes, work: Work, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.study.scaling.ray_cluster._SECONDS_TO_START", 1.0)
    with RayCluster(two_nodes.address, notes, device="cpu") as place:
        ray = place._ray
        holders = [ray.remote(num_cpus=1)(Holder).remote() for _ in range(2)]
        ray.get([holder.is_there.remote() for holder in holders])

        def look(state: str) -> None:
            if "the cluster is full" in state:
                while holders:
                    ray.kill(holders.pop())

        done, _ = run(place, work, notes, "done", "done", on_look=look)
    assert len(done) == 2
    assert not holders
    assert any(
        line.startswith("Waiting: the cluster is full (a task takes 1 core;") for line in notes.said
    )


def test_the_device_cuda_without_gpus(ray_nodes: RayNodes, notes: Notes) -> None:
    with (
        pytest.raises(DeviceError, match="no node of the cluster has a GPU"),
        RayCluster(ray_nodes.address, notes, device="cuda"),
    ):
        pass


class TestANodeThatOnlyBelievesItHasGpus:
    @pytest.fixture
    def believing(self, ray_nodes: RayNodes) -> Iterator[RayNodes]:
        ray_nodes.kill_node(ray_nodes.second)
        ray_nodes.start(ray_nodes.second, "--num-gpus=2", "--num-cpus=2")
        yield ray_nodes
        ray_nodes.kill_node(ray_nodes.second)

    def test_tasks_go_where_the_gpus_are_and_say_that_there_is_none(
        self, believing: RayNodes, work: Work, notes: Notes
    ) -> None:
        with RayCluster(believing.address, notes) as place:
            assert place.jobs == 2  # of three cores
            with pytest.raises(DeviceError, match=rf"^Node {believing.second}: .*--num-gpus=0"):
                run(place, work, notes, "done")

    def test_without_gpus_they_go_everywhere(
        self, believing: RayNodes, work: Work, notes: Notes
    ) -> None:
        with RayCluster(believing.address, notes, gpus_per_task=0) as place:
            assert place.jobs == 3
            done, _ = run(place, work, notes, "done")
        assert len(done) == 1
