"""Studies on a cluster: the results of one machine, whatever dies."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import ray_kills
from ray_kills import Killer, make_study
from ray_nodes import RayNodes, kill, wait_for
from scaling_tasks import do_as_told
from tenfold.core.errors import SettingsError, TenfoldError
from tenfold.core.progress import SilentProgress
from tenfold.core.records.tuning import TuneRecord
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.ray_cluster import RayCluster
from tenfold.study.scaling.ray_connection import check_versions
from tenfold.study.scaling.ray_worker import node_versions
from tenfold.study.scaling.sharing import SharedPlace
from tenfold.study.scaling.work import Place, Task, Work, run_tasks
from tenfold.study.study import Study

TRIALS = 3


class TestAddresses:
    def test_ray_client_is_refused_with_the_command_to_use(self) -> None:
        with (
            pytest.raises(SettingsError, match=r"ray job submit .*-- tenfold"),
            RayCluster("ray://head:10001", SilentProgress()),
        ):
            pass

    @pytest.mark.parametrize(
        "address", ["head", "head:", ":6379", "head:port", "http://head:8265/"]
    )
    def test_what_is_none_is_told(self, address: str) -> None:
        with (
            pytest.raises(SettingsError, match="is no address of a Ray cluster"),
            RayCluster(address, SilentProgress()),
        ):
            pass

    def test_nobody_there_is_found_without_ray(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        with (
            pytest.raises(TenfoldError, match=f"no Ray cluster at 127.0.0.1:{port}"),
            RayCluster("ray", SilentProgress()),
        ):
            pass


@pytest.mark.parametrize("name", ["Python", "torch", "tenfold", "Ray"])
def test_another_version_is_named_beside_ours(name: str) -> None:
    ours = node_versions()
    check_versions(ours, "10.0.0.5")
    with pytest.raises(SettingsError, match=r"10\.0\.0\.5 has " + name) as caught:
        check_versions({**ours, name: "0.0.1"}, "10.0.0.5")
    assert "0.0.1" in str(caught.value)
    assert ours[name] in str(caught.value)


def cluster_of(*cores: int, cores_per_task: int | None = None) -> RayCluster:
    """Give a cluster with so many cores on each node, none of which is asked to do anything."""
    nodes = [
        {"Alive": True, "NodeID": str(number), "Resources": {"CPU": float(count)}}
        for number, count in enumerate(cores)
    ]
    cluster = RayCluster("ray", SilentProgress(), cores_per_task, device="cpu")
    cluster._ray = SimpleNamespace(nodes=lambda: nodes)
    return cluster


class TestCoresOfATask:
    @pytest.mark.parametrize(("tasks", "cores"), [(1, 8), (2, 4), (3, 4), (5, 2), (50, 1)])
    def test_as_many_as_let_all_tasks_run(self, tasks: int, cores: int, tmp_path: Path) -> None:
        work = Work(do_as_told, tmp_path)
        assert cluster_of(8, 4)._cores(work, tasks, 0) == cores

    def test_work_that_goes_on_keeps_them(self, tmp_path: Path) -> None:
        work = Work(do_as_told, tmp_path)
        assert cluster_of(4, 4)._cores(work, 8, 0) == 1
        assert cluster_of(4, 4)._cores(work, 1, 0) == 1
        assert cluster_of(4, cores_per_task=3)._cores(work, 1, 0) == 3
        assert cluster_of(4)._cores(work, 1, 0) == 3
        assert cluster_of(2)._cores(work, 1, 0) == 2  # no node has three


def settings_of(tiny_settings: Callable[..., StudySettings], epochs: int = 3) -> StudySettings:
    return tiny_settings(
        {
            "tune.trials": TRIALS,
            "tune.epochs": epochs,
            "tune.pruner": "none",
            "tune.sampler": "random",
            "training.epochs": epochs,
            "training.checkpoint_seconds": 0.05,
        }
    )


def results(out: Path) -> tuple[object, dict[str, str]]:
    """Give what trials and folds found: no times, and all else bit for bit."""
    record = TuneRecord.read(out / "tune" / "record.json")
    assert [trial.number for trial in record.trials] == list(range(TRIALS))
    trials = [(t.parameters, t.state, t.value, t.epochs) for t in record.trials]
    files = sorted((out / "cross-validate").glob("*_f*"))
    return trials, {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def found_here(
    tiny_settings: Callable[..., StudySettings], tmp_path: Path
) -> tuple[object, dict[str, str]]:
    """Give the results of this process alone."""
    list(Study(settings_of(tiny_settings), tmp_path / "here").run("cross-validate"))
    return results(tmp_path / "here")


@pytest.mark.ray
@pytest.mark.slow
def test_five_kills_change_no_result(
    ray_nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_study(tmp_path / "images", trials=4, epochs=40)
    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)
    list(Study(settings, tmp_path / "here").run("cross-validate"))
    ray_nodes.start(ray_nodes.second)
    on_cluster = "--on", ray_nodes.address, "--cores-per-task", "1"
    killer = Killer(ray_nodes, random.Random(0))
    kinds = ["worker", "node", "worker", "driver", "worker"]
    killer.run(ray_kills.command(tmp_path / "ray", settings, *on_cluster), kinds)
    assert killer.killed == kinds
    assert "raylet" not in killer.printed  # Ray would print its log
    assert ray_kills.results(tmp_path / "ray") == ray_kills.results(tmp_path / "here")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
class TestOnACluster:
    def test_search_and_folds_are_those_of_one_machine(
        self,
        ray_place: Place,
        tiny_settings: Callable[..., StudySettings],
        found_here: tuple[object, dict[str, str]],
        tmp_path: Path,
    ) -> None:
        study = Study(settings_of(tiny_settings), tmp_path / "ray", place=ray_place)
        list(study.run("cross-validate"))
        assert results(tmp_path / "ray") == found_here
        assert len(found_here[1]) == 3  # of two folds the weights, and all predictions

    def test_a_node_that_is_lost_and_one_that_joins(
        self, ray_place: Place, ray_nodes: RayNodes, tmp_path: Path
    ) -> None:
        def lose_and_join() -> None:
            wait_for(lambda: ray_nodes.workers(ray_nodes.second))
            ray_nodes.kill_node(ray_nodes.second)
            ray_nodes.start(ray_nodes.third)

        work = Work(do_as_told, tmp_path / "work", {"log": str(tmp_path)})
        tasks = [Task(str(n), {"order": "nap"}) for n in range(12)]
        done: list[str] = []
        killer = threading.Thread(target=lose_and_join)
        killer.start()
        run_tasks(ray_place, work, tasks, lambda task, _: done.append(task.name))
        killer.join()
        assert sorted(done) == sorted(task.name for task in tasks)
        ray_nodes.kill_node(ray_nodes.third)

    def test_a_driver_that_is_killed_goes_on(
        self,
        ray_nodes: RayNodes,
        tiny_settings: Callable[..., StudySettings],
        tmp_path: Path,
    ) -> None:
        settings = settings_of(tiny_settings, epochs=60)
        for name in ("here", "ray"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "settings.json").write_text(json.dumps(settings.flat()))
        list(Study(settings, tmp_path / "here").run("tune"))
        ray_nodes.start(ray_nodes.second)
        out = tmp_path / "ray"
        command = [sys.executable, "-m", "tenfold", "tune", "--out", str(out), "--quiet"]
        command += ["--on", ray_nodes.address, "--device", "cpu"]
        first = subprocess.Popen(command, env=dict(os.environ))
        work = out / ".tune.partial" / ".work"
        wait_for(lambda: list(work.glob("trial_*")) or first.poll() is not None)
        kill(first.pid)
        first.wait()
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert results(out)[0] == results(tmp_path / "here")[0]

    def test_workers_that_share_a_training_lose_a_node(
        self,
        ray_place: RayCluster,
        ray_nodes: RayNodes,
        tiny_settings: Callable[..., StudySettings],
        tmp_path: Path,
    ) -> None:
        settings = settings_of(tiny_settings, epochs=60).with_changes(
            {"training.micro_batches": 4, "tune.is_enabled": False}
        )
        list(Study(settings, tmp_path / "here").run("train"))
        checkpoint = tmp_path / "ray" / ".train.partial" / ".work" / "checkpoint.safetensors"

        def lose() -> None:
            wait_for(checkpoint.is_file)
            ray_nodes.kill_node(ray_nodes.second)

        killer = threading.Thread(target=lose)
        killer.start()
        place = SharedPlace(ray_place, ray_place.for_workers(), 2, ray_place.host)
        list(Study(settings, tmp_path / "ray", place=place).run("train"))
        killer.join()
        here, ray = (tmp_path / name / "train" for name in ("here", "ray"))
        for name in ("weights_last.safetensors", "weights_best.safetensors"):
            assert (here / name).read_bytes() == (ray / name).read_bytes()
