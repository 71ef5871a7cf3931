"""Files that somebody named: pipes, devices, folders and endless files are refused at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenfold.core.files import check_regular_file, read_regular_file

ON_POSIX = hasattr(os, "mkfifo")


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"", b"abc", bytes(3 * 2**20)):
        path.write_bytes(content)
        assert read_regular_file(path, 3 * 2**20) == content
    (tmp_path / "link").symlink_to(path)
    assert read_regular_file(tmp_path / "link", 2**30) == bytes(3 * 2**20)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(10**12)  # Sparse: takes no space.
    with pytest.raises(OSError, match=r"it has 1,000,000,000,000 bytes or more; at most 10 "):
        read_regular_file(path, 10)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_a_file_that_says_it_is_empty_is_bounded_too() -> None:
    assert read_regular_file(Path("/proc/self/status"), 2**20)
    with pytest.raises(OSError, match="at most 10 "):
        read_regular_file(Path("/proc/self/maps"), 10)


@pytest.mark.skipif(not ON_POSIX, reason="needs named pipes and devices")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        for read in (check_regular_file, lambda path: read_regular_file(path, 10)):
            with pytest.raises(OSError, match="it is a pipe or a device"):
                read(tmp_path / name)
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        read_regular_file(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        read_regular_file(tmp_path / "missing", 10)
