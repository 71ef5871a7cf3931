"""How many cores and how much memory there really are, in containers too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenfold.core import machine
from tenfold.core.machine import (
    available_cores,
    available_memory,
    in_gib,
    let_waiting_threads_sleep,
)


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder that stands for /sys/fs/cgroup, on a machine of 8 cores."""
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "cpu").mkdir()
    return tmp_path


def test_this_machine_has_a_core() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),  # one and a half cores: two threads, as one would waste a half
        ("50000 100000", 1),
        ("1 100000", 1),
        ("1600000 100000", 8),  # more than the affinity mask allows
        ("", 8),
        ("max", 8),
        ("two cores", 8),
        ("100000 0", 8),
    ],
)
def test_the_quota_of_cgroup_v2(quota: str, cores: int, cgroup: Path) -> None:
    (cgroup / "cpu.max").write_text(f"{quota}\n")
    assert available_cores() == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [
        ("-1", "100000", 8),
        ("300000", "100000", 3),
        ("250000", "100000", 3),
        ("10000", "100000", 1),
        ("100000", "0", 8),
        ("garbage", "100000", 8),
    ],
)
def test_the_quota_of_cgroup_v1(quota: str, period: str, cores: int, cgroup: Path) -> None:
    (cgroup / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (cgroup / "cpu/cpu.cfs_period_us").write_text(f"{period}\n")
    assert available_cores() == cores


@pytest.mark.usefixtures("cgroup")
def test_without_a_quota_the_affinity_mask_counts() -> None:
    assert available_cores() == 8


@pytest.mark.usefixtures("cgroup")
@pytest.mark.parametrize(("count", "cores"), [(6, 6), (None, 1)])
def test_systems_without_an_affinity_mask(
    count: int | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert available_cores() == cores


@pytest.mark.parametrize(
    ("asked", "cores"), [("1", 1), ("3,1", 3), ("64", 8), ("", 8), ("0", 8), ("many", 8)]
)
def test_the_threads_that_a_user_asked_for(
    asked: str, cores: int, cgroup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert available_cores() == cores


def test_some_memory_is_there_and_said() -> None:
    known = available_memory()
    assert known is None or known > 2**20
    assert in_gib(3 * 2**29) == "1.5 GiB"


@pytest.mark.parametrize(
    ("limit", "used", "prefix"),
    [
        ("memory.max", "memory.current", ""),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory/"),
    ],
)
def test_a_containers_limit_counts_and_its_page_cache_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, used: str, prefix: str
) -> None:
    folder = tmp_path / prefix
    folder.mkdir(exist_ok=True)
    (folder / limit).write_text("1000000\n")
    (folder / used).write_text("900000\n")
    (folder / "memory.stat").write_text("anon 500000\ninactive_file 300000\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    assert available_memory() == 400_000
    (folder / limit).write_text("max\n" if not prefix else str(2**63))
    unlimited = available_memory()
    assert unlimited is None or unlimited != 400_000


def test_the_limit_of_the_address_space_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**10, resource.RLIM_INFINITY))
    assert available_memory() == 0


@pytest.mark.parametrize("variable", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_how_threads_wait_is_the_users_if_said(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "mine")
    assert not let_waiting_threads_sleep()
    assert os.environ[variable] == "mine"
    assert len({"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()) == 1


def test_waiting_threads_sleep_before_torch_is_loaded() -> None:
    """By whatever way in; a fresh process, as libraries read the variable when they are loaded."""
    script = (
        "import os, sys; import tenfold; assert 'torch' not in sys.modules; "
        "print(os.environ['GOMP_SPINCOUNT'])"
    )
    plain = {name: value for name, value in os.environ.items() if "OMP" not in name}
    done = subprocess.run(
        [sys.executable, "-c", script], env=plain, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1000"
