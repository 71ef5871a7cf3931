"""A cheap digest of files that changes when they do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.files import sha256_of_json


def fingerprint_of_files(root: Path, files: Iterable[Path]) -> str:
    """Give a digest over each file's path below `root`, its size and its time of change.

    No file is opened. The order of `files` does not matter, and neither does where `root` lies. A
    file that cannot be looked at counts with its name alone.

    Raises
    ------
    DataError
        If `root` does not exist.
    """
    if not root.exists():
        raise DataError(f"{root} does not exist. Check the path given with --data.")
    rows: list[tuple[str, int, int]] = []
    for file in files:
        name = file.relative_to(root).as_posix()
        try:
            status = file.stat()
        except OSError:
            rows.append((name, -1, -1))
        else:
            rows.append((name, status.st_size, status.st_mtime_ns))
    return sha256_of_json(sorted(rows))
