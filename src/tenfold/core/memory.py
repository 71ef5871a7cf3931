"""How much memory this process may still take."""

from __future__ import annotations

import os
from pathlib import Path

GIB = 2**30
_CGROUP = Path("/sys/fs/cgroup")
_NO_LIMIT = 2**60  # cgroup v1 says "no limit" by a number near 2^63


def available_memory() -> int | None:
    """Give the bytes that can be had: free or freed at once, limits of the process included.

    The least of what the machine has (``MemAvailable``), what the container's limit leaves (cgroup
    v2, then v1; page cache that can be dropped does not count as used), and what the process' own
    limit of address space leaves. None where nothing is known.
    """
    known = [
        found
        for found in (_of_machine(), _of_container(_CGROUP), _of_address_space())
        if found is not None
    ]
    return max(0, min(known)) if known else None


def in_gib(count: int) -> str:
    """Give a number of bytes for people: "1.5 GiB"."""
    return f"{count / GIB:,.1f} GiB"


def _of_machine() -> int | None:
    fields = _fields(Path("/proc/meminfo"))
    if "MemAvailable" in fields:
        return fields["MemAvailable"] * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Not a POSIX system.
        return None


def _of_container(cgroup: Path) -> int | None:
    versions = (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    )
    for limit_name, used_name, statistics in versions:
        try:
            limit = int((cgroup / limit_name).read_text())  # "max" is no number: no limit
            used = int((cgroup / used_name).read_text())
        except (OSError, ValueError):
            continue
        if limit < _NO_LIMIT:
            return limit - used + _fields(cgroup / statistics).get("inactive_file", 0)
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
