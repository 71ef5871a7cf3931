"""The journal's lock: the operating system's, so it goes when its process goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from optuna.storages.journal._file import BaseJournalFileLock


class JournalLock(BaseJournalFileLock):
    """Lets one process at a time append to the journal.

    Optuna's own locks are files that are there or not: one whose process was killed is broken only
    after half a minute, in which all others wait.

    Parameters
    ----------
    path
        Of the file that is locked; it may stay.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Wait until no other process has the lock, and take it."""
        self._file = self._path.open("a+")
        if os.name == "posix":
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_EX)
        else:
            import msvcrt

            self._file.seek(0)
            msvcrt.locking(self._file.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined, unused-ignore]
        return True

    def release(self) -> None:
        """Let others have the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
