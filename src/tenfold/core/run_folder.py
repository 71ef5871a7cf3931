"""A run folder: one folder a stage, each complete with its manifest or not there at all."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from tenfold.core.errors import RunFolderBusyError, RunFolderError
from tenfold.core.files import (
    MOST_TEXT_BYTES,
    read_regular_file,
    recover_folder,
    replace_folder,
    sha256_of_file,
    sha256_of_json,
    storage_errors,
    write_bytes,
    write_json,
)
from tenfold.core.record import Record
from tenfold.core.settings import NOT_SET, differences
from tenfold.core.text import shortlist

MANIFEST = "manifest.json"
SETTINGS = "settings.json"
LOCK = ".lock"
CHOICE = "choice.json"
"""Which recipe was chosen for the data, and why; only where the user named none."""
WORK = ".work"
FEATURES = ".features"
"""Folder of what frozen backbones computed, for all stages; it may be deleted at any time."""
REPEATS = "repeats"
"""Folder of a study's further runs, each with another seed: ``repeats/run-2`` and so on."""
REPEATS_RECORD = f"{REPEATS}/record.json"
EDITED = "edited"
"""Folder of files that a person changed in a stage's folder before the stage was made again."""
MADE_TO_BE_EDITED = frozenset({"audit/label_issues.csv"})
"""Files whose changes do not make their stage run again."""
_NEVER_EDITED = frozenset({".npy", ".npz", ".safetensors", ".png"})
_ATTEMPTS = f"{WORK}/attempts.json"


class RunFolder:
    """One study's folder, held by one process at a time.

    Use it as a context manager: the lock is the operating system's, so it goes when the process
    goes, however that happens, and nothing stale can stay behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / LOCK)

    def __enter__(self) -> Self:
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                raise RunFolderBusyError(
                    f"Another process is working in {self.path}. Wait for it, stop it, or choose "
                    "another folder with --out."
                ) from None
        self._recover()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _recover(self) -> None:
        """Put back what a kill left aside in the moment in which a stage was replaced."""
        with storage_errors(self.path):
            for pattern in (".*.old", f"{REPEATS}/run-*/.*.old"):
                for aside in list(self.path.glob(pattern)):
                    recover_folder(
                        aside.with_name(aside.name.removeprefix(".").removesuffix(".old"))
                    )

    def settings(self) -> dict[str, Any] | None:
        """Give the settings that the folder was made by; None for a new folder.

        Raises
        ------
        RunFolderError
            If the file is not readable JSON, or the folder holds something else than a study.
        """
        stored = read_settings(self.path)
        if stored is not None:
            return stored
        strangers = sorted(
            entry.name
            for entry in self.path.iterdir()
            if not entry.name.startswith(".") and entry.name != CHOICE
        )
        if strangers:
            raise RunFolderError(
                f"{self.path} is not a run folder and not empty (it holds "
                f"{shortlist(strangers, 3)}). Choose another folder with --out."
            )
        return None

    def check_settings(self, settings: dict[str, Any], *, update: bool = False) -> None:
        """Check that settings are those that the folder was made by, or may take their place.

        Parameters
        ----------
        settings
            The study's resolved settings, plain data.
        update
            Whether others may.

        Raises
        ------
        RunFolderError
            If the folder was made by other settings and `update` is not given.
        """
        stored = self.settings()
        # A setting that the folder's maker did not know, and that is not given, changes nothing.
        lines = [] if stored is None else differences(stored, settings)
        if lines and not update:
            shown = "\n".join(f"  {line}" for line in lines[:8])
            more = f"\n  and {len(lines) - 8} more" if len(lines) > 8 else ""
            is_older = all(f": {NOT_SET} -> " in line for line in lines)
            maker = "an earlier version of tenfold, without these" if is_older else "other settings"
            raise RunFolderError(
                f"The run folder {self.path} was made by {maker}:\n{shown}{more}\n"
                "Choose another folder with --out, or give --update to run again the stages that "
                "these settings touch."
            )

    def adopt_settings(self, settings: dict[str, Any], *, update: bool = False) -> None:
        """Write the settings into a new folder, or those that `check_settings` allows.

        Raises
        ------
        RunFolderError
            If the folder was made by other settings and `update` is not given.
        """
        self.check_settings(settings, update=update)
        if self.settings() != settings:
            write_json(self.path / SETTINGS, settings)

    def outdated(self) -> frozenset[str]:
        """Give the complete stages that were made of other results than now lie in the folder.

        By their manifests alone: no file is hashed, and settings have no part in it.
        """
        manifests = {
            path.parent.name: Manifest.read(path) for path in self.path.glob(f"[!.]*/{MANIFEST}")
        }
        digests = {name: sha256_of_json(one.files) for name, one in manifests.items()}

        def is_outdated(name: str) -> bool:
            return any(
                source in manifests and (digests[source] != digest or is_outdated(source))
                for source, digest in manifests[name].inputs.items()
            )

        return frozenset(name for name in manifests if is_outdated(name))

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

        Every file's SHA-256 is compared, so a changed byte makes the stage run again, except in
        files that are made to be edited.
        """
        manifest = self.manifest()
        return (
            manifest is not None
            and manifest.fingerprint == fingerprint
            and self._without_edits(manifest.files) == self._without_edits(_hashes(self.path))
        )

    def _without_edits(self, files: dict[str, str]) -> dict[str, str]:
        """Give hashes by file without those of files that people are asked to edit."""
        return {
            name: "" if f"{self.name}/{name}" in MADE_TO_BE_EDITED else digest
            for name, digest in files.items()
        }

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

    def finish(self, manifest: Manifest) -> tuple[Path, ...]:
        """Make the partial folder the stage's own: hash its files, write the manifest, rename.

        What was complete before is there until then. What a person had changed in it is kept in
        the run folder's folder `EDITED`.

        Returns
        -------
        tuple of Path
            Where files that a person had changed lie now.
        """
        with storage_errors(self.path):
            for leftover in self.partial.rglob(".*.part"):
                leftover.unlink()
            complete = manifest.model_copy(update={"files": _hashes(self.partial)})
            complete.write(self.partial / MANIFEST)
            kept = tuple(self._keep_edited(complete.files))
            replace_folder(self.partial, self.path)
        self.clear_work()
        return kept

    def clear_work(self) -> None:
        """Remove from the complete stage what only served to go on after a kill."""
        shutil.rmtree(self.path / WORK, ignore_errors=True)

    def _keep_edited(self, successors: dict[str, str]) -> Iterator[Path]:
        """Copy what a person changed or added, unless the successor holds the same."""
        former = self.manifest()
        if former is None:
            return
        for name, digest in _hashes(self.path).items():
            path = self.path / name
            is_known = digest in (former.files.get(name), successors.get(name))
            if is_known or path.suffix in _NEVER_EDITED:
                continue
            kept = _free_place(self.path.parent / EDITED / self.name / name, digest)
            if not kept.exists():
                write_bytes(kept, path.read_bytes())
                yield kept


class Manifest(Record):
    """Written last, so its presence means that the stage is complete."""

    stage: str
    fingerprint: str
    """SHA-256 over the stage's version, its settings and its inputs: what the result depends on."""
    settings: dict[str, object]
    inputs: dict[str, str]
    """Digest of every input: an earlier stage's files, or the data source."""
    files: dict[str, str]
    """SHA-256 of every file of the stage, by its path in the stage's folder."""
    versions: dict[str, str]
    device: str
    started: str
    """When this attempt began: ISO 8601, UTC."""
    seconds: float
    """Wall time, attempts that were cut off included as far as they were recorded."""
    attempts: int
    """How often the stage was started until it was complete."""


@dataclass(frozen=True)
class Attempt:
    """How often a stage was begun, this time included, and the seconds spent before."""

    fingerprint: str
    count: int
    seconds: float


def read_settings(run_folder: Path) -> dict[str, Any] | None:
    """Give the settings that a run folder was made by; None if it has none.

    Raises
    ------
    RunFolderError
        If the file is not readable JSON.
    """
    path = run_folder / SETTINGS
    try:
        stored = json.loads(read_regular_file(path, MOST_TEXT_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise RunFolderError(
            f"{path} is not readable JSON. It was changed by hand or damaged; choose another "
            "folder with --out."
        )
    return stored


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST and WORK not in path.parts
    }


def _free_place(path: Path, digest: str) -> Path:
    """Give a path that is free, or holds the content already: ``a.csv``, ``a-2.csv`` and so on."""
    place, number = path, 1
    while place.exists() and sha256_of_file(place) != digest:
        number += 1
        place = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return place


_RECORDED_PACKAGES = (
    "tenfold",
    "torch",
    "numpy",
    "scikit-learn",
    "scipy",
    "optuna",
    "pydantic",
    "safetensors",
    "pillow",
    "matplotlib",
)


def recorded_versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that results depend on, by name."""
    versions = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
