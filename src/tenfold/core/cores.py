"""How many cores this process may use, and how its threads wait for each other."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

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
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        v1 = Path("/sys/fs/cgroup/cpu")
        limit_v1 = int((v1 / "cpu.cfs_quota_us").read_text())
        return limit_v1 / int((v1 / "cpu.cfs_period_us").read_text()) if limit_v1 > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
