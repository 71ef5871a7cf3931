"""A folder of models, NAME/VERSION, that is watched: what appears there takes over.

A version is a model folder, a run folder, a folder with one ONNX file, or such a file itself. The
highest one is served, as numbers count: 10 comes after 9. What begins with a dot is passed over,
so that a version may be written under such a name and renamed when it is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import re
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tenfold.core.errors import SettingsError, TenfoldError
from tenfold.core.text import printable, readable
from tenfold.serving.model import ServedModel, prepare_model
from tenfold.serving.repository import ModelRepository, NamedModel, model_name
from tenfold.serving.trial import check_known_images

_LOG = logging.getLogger("tenfold.serving.watching")
_SUFFIX = ".onnx"
_MOST_FILES, _MOST_DEPTH = 10_000, 4
Load = Callable[[Path], ServedModel]
Stamp = tuple[tuple[str, int, int], ...]
"""Names, sizes and times of change of a version's files."""


@dataclass(frozen=True)
class Version:
    """A version of a model as it lies there."""

    name: str
    version: str
    path: Path
    stamp: Stamp = field(repr=False)

    @property
    def rank(self) -> tuple[tuple[int, int, str], ...]:
        """Give what versions are ordered by."""
        parts = re.findall(r"[0-9]+|[^0-9]+", self.version)
        return tuple((1, int(one), "") if one[0].isdigit() else (0, 0, one) for one in parts)


def load_version(path: Path) -> ServedModel:
    """Read a model and try it out on images of its own, or raise a `TenfoldError`."""
    files = sorted(path.glob(f"*{_SUFFIX}")) if path.is_dir() else []
    served = prepare_model(files[0] if len(files) == 1 else path)
    check_known_images(served, path)
    return served


class WatchedFolder:
    """Knows what of a folder is served, and what was tried in vain."""

    def __init__(self, folder: Path, *, load: Load = load_version) -> None:
        self.folder = folder
        self._load = load
        self._served: dict[str, Version] = {}
        self._refused: set[Version] = set()
        self._seen: dict[str, list[Version]] = {}

    def first(self) -> list[NamedModel]:
        """Load the highest version of each model that can be used, at the start.

        Raises
        ------
        SettingsError
            If there is none.
        """
        self._seen = self._scan()
        loaded = [self._load_next(name) for name in self._seen]
        models = [one for one in loaded if one is not None]
        if not models:
            reason = "none of its models can be used" if self._seen else "it holds no model"
            raise SettingsError(
                f"{self.folder} cannot be served: {reason}. Expected are folders NAME/VERSION, "
                "each a model folder, a run folder or one that holds a file of tenfold export; "
                f"for example {self.folder}/digits/1/model.onnx."
            )
        return models

    def step(self) -> Iterator[NamedModel]:
        """Give the models that are to take over: loaded, and tried out.

        A version is looked at when its files did not change since the step before: no longer
        written.
        """
        before, self._seen = self._seen, self._scan()
        for name, versions in self._seen.items():
            still = set(before.get(name, ()))
            changing = [one for one in versions if one not in still]
            if not changing and (named := self._load_next(name)) is not None:
                yield named

    def _load_next(self, name: str) -> NamedModel | None:
        """Load what is to be served of a model instead of what is; None where there is nothing."""
        for one in self._candidates(name):
            began = time.monotonic()
            try:
                served = self._load(one.path)
            except (TenfoldError, OSError, MemoryError) as error:
                self._refuse(one, str(error))
            except Exception as error:  # whatever it is, the old version goes on
                _LOG.debug("A model could not be read", exc_info=error)
                self._refuse(one, repr(error))
            else:
                self._served[name] = one
                seconds = time.monotonic() - began
                _LOG.info(
                    "Serving %s, version %s (read and tried out in %.1f s)",
                    *(printable(name), printable(one.version), seconds),
                )
                return NamedModel(name, one.version, served)
        return None

    def _candidates(self, name: str) -> list[Version]:
        """Give what may be served instead, the highest first.

        Nothing lower than what is served, unless that is gone: so a version is taken back.
        """
        versions = sorted(self._seen[name], key=lambda one: one.rank, reverse=True)
        now = self._served.get(name)
        if now is not None and any(one.version == now.version for one in versions):
            versions = [one for one in versions if one.rank >= now.rank and one != now]
        return [one for one in versions if one not in self._refused]

    def _refuse(self, one: Version, reason: str) -> None:
        self._refused = {other for other in self._refused if other.path != one.path} | {one}
        now = self._served.get(one.name)
        goes_on = "" if now is None else f" Version {printable(now.version)} goes on."
        _LOG.warning(
            "%s, version %s, is refused: %s%s",
            *(printable(one.name), printable(one.version), printable(reason), goes_on),
        )

    def _scan(self) -> dict[str, list[Version]]:
        """Give the versions of each model by name; of one that cannot be listed, what was there."""
        found: dict[str, list[Version]] = {}
        try:
            folders = sorted(_entries(self.folder))
        except OSError:
            return self._seen
        for folder in folders:
            name = model_name(folder.name)
            if name in found or not folder.is_dir():
                continue
            try:
                versions = [
                    Version(name, readable(path.name).removesuffix(_SUFFIX), path, _stamp(path))
                    for path in _entries(folder)
                    if path.is_dir() or path.suffix == _SUFFIX
                ]
            except OSError:  # changed under our hands: next time
                versions = self._seen.get(name, [])
            if versions:
                found[name] = versions
        return found


@asynccontextmanager
async def following(
    watched: WatchedFolder | None, repository: ModelRepository, seconds: float
) -> AsyncIterator[None]:
    """Let new versions take over while the block runs; with no folder, do nothing."""
    if watched is None:
        yield
        return
    task = asyncio.create_task(_follow(watched, repository, seconds))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _follow(watched: WatchedFolder, repository: ModelRepository, seconds: float) -> None:
    has_old = False
    while True:
        await asyncio.sleep(seconds)
        try:
            if has_old:  # its requests have mostly ended since
                await asyncio.to_thread(_give_back_memory)
                has_old = False
            steps = watched.step()
            while (named := await asyncio.to_thread(next, steps, None)) is not None:
                repository.put(named)
                has_old = True
                del named  # or the old version would be held until the next
        except Exception as error:  # a server that no longer watches would seem to
            _LOG.error("The folder of models cannot be watched", exc_info=error)


def _give_back_memory() -> None:
    """Give the system what the C library keeps of ended models: a megabyte each, without end."""
    # Only glibc has this, and needs it.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _entries(folder: Path) -> list[Path]:
    return [one for one in folder.iterdir() if not one.name.startswith(".")]


def _stamp(path: Path) -> Stamp:
    if not path.is_dir():
        return (_file_stamp(path, path),)
    files = []
    for root, folders, names in os.walk(path):
        here = Path(root)
        if len(here.relative_to(path).parts) >= _MOST_DEPTH:
            folders.clear()
        files += [_file_stamp(here / name, path) for name in names]
        if len(files) > _MOST_FILES:
            break
    return tuple(sorted(files))


def _file_stamp(file: Path, base: Path) -> tuple[str, int, int]:
    told = file.stat()
    kind = 0 if stat.S_ISREG(told.st_mode) else -1
    return os.fspath(file.relative_to(base)), told.st_size + kind, told.st_mtime_ns
