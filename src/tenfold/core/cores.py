"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_cores() -> int:
    """Give the cores this process may use: affinity and cgroup quota included; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(cores, math.ceil(quota)) if quota is not None else cores)


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
