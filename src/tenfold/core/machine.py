"""What this machine gives a process: cores, memory, and threads that wait without harm."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_NO_LIMIT = 2**60  # cgroup v1 says "no limit" by a number near 2^63


def available_cores() -> int:
    """Give the cores this process may use, at least 1.

    That is what affinity, the cgroup's quota and the user's OMP_NUM_THREADS leave of them.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quota = _cgroup_quota()
    if quota is not None:
        cores = min(cores, math.ceil(quota))
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        cores = min(cores, int(asked))
    return max(1, cores)


def _cgroup_quota() -> float | None:
    """Read the CPU quota of a container, in cores: cgroup v2, then v1; None if there is none."""
    try:
        limit, period = (_CGROUP / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        limit_v1 = int((_CGROUP / "cpu/cpu.cfs_quota_us").read_text())
        period_v1 = int((_CGROUP / "cpu/cpu.cfs_period_us").read_text())
        return limit_v1 / period_v1 if limit_v1 > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def available_memory() -> int | None:
    """Give the bytes that can be had: free or freed at once, limits of the process included.

    The least of what the machine has (``MemAvailable``), what the container's limit leaves (cgroup
    v2, then v1; page cache that can be dropped does not count as used), and what the process' own
    limit of address space leaves. None where nothing is known.
    """
    known = [
        found
        for found in (_of_machine(), _of_container(), _of_address_space())
        if found is not None
    ]
    return max(0, min(known)) if known else None


def total_memory() -> int | None:
    """Give the bytes that the machine has; None where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Not a POSIX system.
        return None


def _of_machine() -> int | None:
    fields = _fields(Path("/proc/meminfo"))
    return fields["MemAvailable"] * 1024 if "MemAvailable" in fields else total_memory()


def _of_container() -> int | None:
    versions = (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    )
    for limit_name, used_name, statistics in versions:
        try:
            limit = int((_CGROUP / limit_name).read_text())  # "max" is no number: no limit
            used = int((_CGROUP / used_name).read_text())
        except (OSError, ValueError):
            continue
        if limit < _NO_LIMIT:
            return limit - used + _fields(_CGROUP / statistics).get("inactive_file", 0)
    return None


def _of_address_space() -> int | None:
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError, IndexError):
        return None
    return limit - pages * resource.getpagesize()


def _fields(path: Path) -> dict[str, int]:
    """Read lines of a name and a number."""
    found: dict[str, int] = {}
    try:
        for line in path.read_text().splitlines():
            words = line.replace(":", " ").split()
            if len(words) >= 2 and words[1].isdecimal():
                found[words[0]] = int(words[1])
    except (OSError, UnicodeDecodeError):
        pass
    return found


def in_gib(count: int) -> str:
    """Give a number of bytes for people: "1.5 GiB"."""
    return f"{count / 2**30:,.1f} GiB"


_SPINS = "1000"
"""Looks at the flag before a waiting thread goes to sleep: about 10 microseconds by the library's
own estimate, far less than a core's time slice; docs/experiments.md has what others cost."""
_WAITING_VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def let_waiting_threads_sleep() -> bool:
    """Have OpenMP's threads sleep soon while they wait, so that other processes do no harm.

    By default GNU's OpenMP, which torch and scikit-learn bring, spins for milliseconds where a
    thread waits for its partners. Where another process holds a core, the partner does not come
    and the spinning thread keeps it from coming: a training took three times as long with one
    busy process beside it on two cores (`benchmarks/busy_machine.py`). The library reads this when
    it is loaded, so this is called before torch is imported. Whoever set one of the variables keeps
    it; processes that are started from here inherit it.

    Returns
    -------
    bool
        Whether it was set now.
    """
    if any(name in os.environ for name in _WAITING_VARIABLES) or "torch" in sys.modules:
        return False
    os.environ["GOMP_SPINCOUNT"] = _SPINS
    return True
