from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.core import machine as memory
from tenfold.core.machine import available_memory, in_gib


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
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert available_memory() == 400_000
    (folder / limit).write_text("max\n" if not prefix else str(2**63))
    unlimited = available_memory()
    assert unlimited is None or unlimited != 400_000


def test_the_limit_of_the_address_space_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**10, resource.RLIM_INFINITY))
    assert available_memory() == 0
