"""What was fetched and lies in the cache: seen, and removed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tenfold.core.errors import SettingsError
from tenfold.core.files import storage_errors
from tenfold.core.text import shortlist
from tenfold.data.sources.cifar10_files import cache_folder
from tenfold.data.sources.remote import LATEST, REMOTE, locked

OLD, ALL = "old", "all"
"""What may be removed beside single ones by their keys."""


@dataclass(frozen=True)
class Cached:
    """One thing in the cache.

    Parameters
    ----------
    path
        The file or folder.
    key
        What it is called in the cache.
    origin
        Its address without passwords, or its name.
    size_bytes
        Of all its files.
    changed_at
        When it was fetched, local time.
    is_old
        Whether another version was fetched from the same address later.
    """

    path: Path
    key: str
    origin: str
    size_bytes: int
    changed_at: datetime
    is_old: bool


def cached() -> list[Cached]:
    """Give what lies in the cache, the largest first."""
    folder = cache_folder()
    found = [
        _described(path, path.name, path.name, is_old=False)
        for path in sorted(folder.glob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    for home in sorted((folder / REMOTE).glob("*")):
        origin, newest = _newest(home)
        found += [
            _described(path, f"{home.name}/{path.name}", origin, is_old=path.name != newest)
            for path in sorted(home.glob("*"))
            if path.is_dir()
        ]
    return sorted(found, key=lambda one: -one.size_bytes)


def remove_cached(names: Sequence[str]) -> list[Cached]:
    """Remove things by their keys, ``old`` versions, or ``all``; give what was removed.

    Raises
    ------
    SettingsError
        If there is no such thing; nothing is removed then.
    StorageError
        If it cannot be removed.
    """
    there = cached()
    unknown = [name for name in names if name not in {OLD, ALL, *(one.key for one in there)}]
    if unknown:
        what = (
            f"There is {shortlist([one.key for one in there])}. Give such a key, {OLD!r} for what "
            f"newer versions have replaced, or {ALL!r}."
            if there
            else "Nothing is."
        )
        raise SettingsError(f"{shortlist(unknown)!r} is not in the cache {cache_folder()}. {what}")
    chosen = [
        one for one in there if ALL in names or one.key in names or (OLD in names and one.is_old)
    ]
    for one in chosen:
        with storage_errors(one.path):
            if one.path.is_file():
                one.path.unlink()
                continue
            with locked(one.path.parent):
                shutil.rmtree(one.path)
    return chosen


def _newest(home: Path) -> tuple[str, str]:
    """Give the address that a folder of the cache is of, and its newest version's name."""
    try:
        said = json.loads((home / LATEST).read_bytes())
        path = str(said["path"])
        return str(said.get("address") or path.partition("/")[2]), path.partition("/")[0]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "not fetched to its end", ""


def _described(path: Path, key: str, origin: str, *, is_old: bool) -> Cached:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return Cached(
        path,
        key,
        origin,
        sum(file.stat().st_size for file in files),
        datetime.fromtimestamp(path.stat().st_mtime),
        is_old,
    )
