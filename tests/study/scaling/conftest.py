"""A Ray cluster of two nodes on this machine, one for all tests marked ``ray``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import scaling_tasks
from ray_nodes import AUTHENTICATION, RayNodes
from tenfold.core.progress import SilentProgress
from tenfold.study.scaling.work import Place


@pytest.fixture(scope="session", autouse=True)
def tasks_are_found() -> Iterator[None]:
    """Let other processes find the tests' own tasks."""
    with pytest.MonkeyPatch.context() as patch:
        here = os.environ.get("PYTHONPATH")
        support = str(Path(scaling_tasks.__file__).parent)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [support, here])))
        # Ray reads its token once a process, when it is imported: before any test does that.
        for name, value in AUTHENTICATION.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def ray_nodes(tasks_are_found: None) -> Iterator[RayNodes]:
    """Give the cluster; whoever kills a node starts another."""
    # Tests in several processes at a time have a cluster each.
    process = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    with RayNodes(int(process)) as nodes:
        yield nodes


@pytest.fixture
def ray_place(ray_nodes: RayNodes) -> Iterator[Place]:
    """Give a place on the cluster, with both nodes there."""
    from tenfold.study.scaling.ray_cluster import RayCluster

    ray_nodes.start(ray_nodes.second)
    with RayCluster(ray_nodes.address, SilentProgress(), device="cpu") as place:
        yield place
