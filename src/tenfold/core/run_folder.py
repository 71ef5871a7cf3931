"""The run folder: settings, then one folder a stage, complete when its manifest is there."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tenfold.core.errors import RunFolderBusyError, RunFolderError
from tenfold.core.files import sha256_of_file, sha256_of_json, storage_errors, write_json
from tenfold.core.records.manifest import Manifest
from tenfold.core.regular_files import MOST_TEXT_BYTES, read_regular_file
from tenfold.core.settings import differences

MANIFEST = "manifest.json"
SETTINGS = "settings.json"
LOCK = ".lock"
WORK = ".work"
REPEATS = "repeats"
"""Folder of a study's further runs, each with another seed: ``repeats/run-2`` and so on."""
REPEATS_RECORD = f"{REPEATS}/record.json"
_ATTEMPTS = f"{WORK}/attempts.json"


class RunFolder:
    """One study's folder, held by one process at a time.

    Use it as a context manager: the lock is the operating system's, so it goes when the process
    goes, however that happens, and nothing stale can stay behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / LOCK).open("a+")
        try:
            _lock(self._lock)
        except OSError:
            self._lock.close()
            self._lock = None
            raise RunFolderBusyError(
                f"Another process is working in {self.path}. Wait for it, stop it, or choose "
                "another folder with --out."
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def settings(self) -> dict[str, Any] | None:
        """Give the settings that the folder was made by; None for a new folder.

        Raises
        ------
        RunFolderError
            If the file is not readable JSON, or the folder holds something else than a study.
        """
        path = self.path / SETTINGS
        try:
            stored = json.loads(read_regular_file(path, MOST_TEXT_BYTES))
        except FileNotFoundError:
            self._refuse_strangers()
            return None
        except (OSError, ValueError, RecursionError):
            stored = None
        if not isinstance(stored, dict):
            raise RunFolderError(
                f"{path} is not readable JSON. It was changed by hand or damaged; choose another "
                "folder with --out."
            )
        return stored

    def _refuse_strangers(self) -> None:
        strangers = sorted(
            entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")
        )
        if strangers:
            shown = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
            raise RunFolderError(
                f"{self.path} is not a run folder and not empty (it holds {shown}). "
                "Choose another folder with --out."
            )

    def adopt_settings(self, settings: dict[str, Any], *, update: bool = False) -> None:
        """Write the settings into a new folder, or check that they are those it was made by.

        Parameters
        ----------
        settings
            The study's resolved settings, plain data.
        update
            Take the new settings where they differ; stages that depend on them run again.

        Raises
        ------
        RunFolderError
            If the folder was made by other settings and `update` is not given.
        """
        stored = self.settings()
        if stored is not None and stored != settings and not update:
            lines = differences(stored, settings)
            shown = "\n".join(f"  {line}" for line in lines[:8])
            more = f"\n  and {len(lines) - 8} more" if len(lines) > 8 else ""
            raise RunFolderError(
                f"The run folder {self.path} was made by other settings:\n{shown}{more}\n"
                "Choose another folder with --out, or give --update to run again the stages that "
                "these settings touch."
            )
        if stored != settings:
            write_json(self.path / SETTINGS, settings)

    def stage(self, name: str) -> StageFolder:
        """Give the folder of one stage."""
        return StageFolder(name, self.path / name, self.path / f".{name}.partial")


@dataclass(frozen=True)
class StageFolder:
    """The place of one stage: `path` when it is complete, `partial` while it is made.

    What only serves to go on after a kill (checkpoints, finished folds and trials) lies in
    ``.work`` inside the partial folder, and is removed after the stage is complete, not before.
    """

    name: str
    path: Path
    partial: Path

    def manifest(self) -> Manifest | None:
        """Give the manifest of the complete stage; None if it is not complete."""
        path = self.path / MANIFEST
        return Manifest.read(path) if path.is_file() else None

    def is_complete(self, fingerprint: str) -> bool:
        """Say whether the stage was completed with this fingerprint and all its files are as made.

        Every file's SHA-256 is compared, so a changed byte makes the stage run again.
        """
        manifest = self.manifest()
        return (
            manifest is not None
            and manifest.fingerprint == fingerprint
            and manifest.files == _hashes(self.path)
        )

    def digest(self) -> str:
        """Give one hash over all files of the complete stage."""
        manifest = self.manifest()
        assert manifest is not None, f"{self.name} is not complete"
        return sha256_of_json(manifest.files)

    def begin(self, fingerprint: str) -> Attempt:
        """Open the partial folder, with what an earlier attempt of the same fingerprint left.

        What was made with another fingerprint is removed.
        """
        attempts_path = self.partial / _ATTEMPTS
        earlier = Attempt(fingerprint, 1, 0.0)
        try:
            stored = json.loads(read_regular_file(attempts_path, MOST_TEXT_BYTES))
            if stored["fingerprint"] == fingerprint:
                earlier = Attempt(fingerprint, int(stored["count"]) + 1, float(stored["seconds"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
        with storage_errors(self.partial):
            if earlier.count == 1 and self.partial.exists():
                shutil.rmtree(self.partial)
            (self.partial / WORK).mkdir(parents=True, exist_ok=True)
        self.note(earlier)
        return earlier

    def note(self, attempt: Attempt) -> None:
        """Write down how often the stage was begun and the seconds spent so far."""
        write_json(
            self.partial / _ATTEMPTS,
            {
                "fingerprint": attempt.fingerprint,
                "count": attempt.count,
                "seconds": attempt.seconds,
            },
        )

    def finish(self, manifest: Manifest) -> None:
        """Make the partial folder the stage's own: hash its files, write the manifest, rename."""
        with storage_errors(self.path):
            for leftover in self.partial.rglob(".*.part"):
                leftover.unlink()
            complete = manifest.model_copy(update={"files": _hashes(self.partial)})
            complete.write(self.partial / MANIFEST)
            if self.path.exists():
                shutil.rmtree(self.path)
            self.partial.rename(self.path)
            _sync_folder(self.path.parent)
        self.clear_work()

    def clear_work(self) -> None:
        """Remove from the complete stage what only served to go on after a kill."""
        shutil.rmtree(self.path / WORK, ignore_errors=True)

    def remove(self) -> None:
        """Remove what is complete and what is half made."""
        with storage_errors(self.path):
            for folder in (self.path, self.partial):
                if folder.exists():
                    shutil.rmtree(folder)


@dataclass(frozen=True)
class Attempt:
    """How often a stage was begun, this time included, and the seconds spent before."""

    fingerprint: str
    count: int
    seconds: float


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST and WORK not in path.parts
    }


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock(file: IO[str]) -> None:
    """Take the operating system's lock on an open file, or raise OSError at once."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
