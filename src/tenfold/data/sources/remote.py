"""Data sets at addresses: fetched once, by fsspec, into a cache that knows what is there.

A file lies in the cache by its address and by what the server says of it (entity tag, size, time),
so one that changes is another file. What a cut or a kill left is gone on with by ranged reads.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tenfold.core.errors import DataError, DownloadError, nearest_names
from tenfold.core.files import sha256_of_json, storage_errors, write_json
from tenfold.core.progress import Progress
from tenfold.core.text import counted
from tenfold.data.sources.cifar10_files import cache_folder
from tenfold.data.sources.webdataset import are_there, expanded, is_pattern

# What each scheme needs beside fsspec, as pip calls it.
SCHEMES: Mapping[str, str] = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "hf": "huggingface_hub",
    "https": "aiohttp",
    "http": "aiohttp",
    "az": "adlfs",
    "abfs": "adlfs",
}
_PIECE_BYTES = 2**23
_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 0.5
_THREADS = 8
_MOST_FILES = 5_000_000
_STAMPS = ("ETag", "etag", "md5Hash", "Content-MD5", "blob_id", "LastModified", "Last-Modified")
_MOST_NEIGHBOURS = 5000
LATEST = "latest.json"
REMOTE = "remote"
"""Where in the cache files from addresses lie."""


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address.

    Parameters
    ----------
    path
        As the file system names it.
    name
        Relative to what was asked for, with slashes.
    size_bytes
        None if the server does not say.
    stamp
        What changes when the file does.
    """

    path: str
    name: str
    size_bytes: int | None
    stamp: str
    changed_at: float | None = None
    """Seconds since 1970, where the server says so."""


def is_address(data: str) -> bool:
    """Say whether `data` is the address of something elsewhere."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://", data) is not None


def fetch(address: str, progress: Progress, *, is_offline: bool = False) -> Path:
    """Give the path of what lies at an address, fetched unless it is in the cache.

    Parameters
    ----------
    address
        Of a file; of a prefix, which becomes a folder; or a pattern of shards.
    is_offline
        Whether what was fetched last has to do.

    Raises
    ------
    DataError
        If there is nothing, or it may not be read, or a package is missing.
    DownloadError
        If it could not be fetched whole; the same command goes on where it stopped.
    StorageError
        If the cache cannot be written.
    """
    shown = _shown(address)
    scheme = urlsplit(address).scheme.lower()
    if scheme not in SCHEMES:
        raise DataError(
            f"{shown!r} is an address that tenfold does not read. Give one of "
            f"{', '.join(f'{name}://' for name in SCHEMES)}, or download it and give the path."
        )
    home = cache_folder() / REMOTE / sha256_of_json(address)[:16]
    if is_offline:
        return _fetched_before(home, shown)
    progress.say(f"Looking at {shown}")
    system, files, is_folder = _look(address, shown, scheme)
    key = sha256_of_json(sorted((one.name, one.size_bytes, one.stamp) for one in files))[:16]
    folder = home / key
    target = folder / _title(address)
    # The shards that a pattern stands for lie beside where it would lie.
    root = target if is_folder and not is_pattern(target) else folder
    with locked(home):
        _fetch_all(system, files, root, shown, progress)
        with storage_errors(home):
            write_json(
                home / LATEST,
                {"path": target.relative_to(home).as_posix(), "address": shown},
            )
    return target


def _fetched_before(home: Path, shown: str) -> Path:
    try:
        target = home / str(json.loads((home / LATEST).read_bytes())["path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DownloadError(
            f"{shown} was not fetched before, and downloads are forbidden (--offline). Run once "
            "without --offline, or give a path."
        ) from None
    if not are_there(target):
        raise DownloadError(f"{shown} is not in the cache any more. Run without --offline.")
    return target


def _shown(address: str) -> str:
    """Give an address without what only its owner should know: passwords and signatures."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _title(address: str) -> str:
    parts = urlsplit(address)
    name = unquote(parts.path).rstrip("/").rpartition("/")[2] or parts.netloc.rpartition("@")[2]
    return _checked(name, address).rpartition("/")[2]


def _look(address: str, shown: str, scheme: str) -> tuple[Any, list[RemoteFile], bool]:
    """Give the file system, the files at an address, and whether these are a folder's."""
    package = SCHEMES[scheme]
    try:
        import fsspec
    except ImportError as error:
        raise DataError(_missing(shown, package)) from error
    options = _options(scheme)
    try:
        system, path = fsspec.core.url_to_fs(address, **options)
    except (ImportError, ValueError) as error:
        raise DataError(_missing(shown, package)) from error
    try:
        return system, *_listed(system, path, shown, address)
    except FileNotFoundError as error:
        raise DataError(
            f"{shown} is not there: no such file, folder or bucket."
            f"{_neighbours(system, path)} Check its spelling, in capital letters, too."
        ) from error
    except Exception as error:
        # Public buckets are read without credentials.
        if scheme == "s3" and type(error).__name__ in {"NoCredentialsError", "PermissionError"}:
            public, path = fsspec.core.url_to_fs(address, anon=True, **options)
            try:
                return public, *_listed(public, path, shown, address)
            except Exception:
                raise _as_data_error(error, shown, scheme) from error
        raise _as_data_error(error, shown, scheme) from error


def _neighbours(system: Any, path: str) -> str:
    """Say which files of like names there are."""
    above, _, name = path.rstrip("/").rpartition("/")
    if "://" in path or not above:  # The web lists no folders.
        return ""
    try:
        there = [str(one).rstrip("/").rpartition("/")[2] for one in system.ls(above, detail=False)]
    except Exception:  # Whatever it is, the address stays wrong.
        return ""
    near = nearest_names(name, there[:_MOST_NEIGHBOURS])
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _options(scheme: str) -> dict[str, Any]:
    # Attempts are ours: botocore's own would hold for minutes whoever waits for a dead server.
    retries = {"retries": {"max_attempts": 1}, "connect_timeout": 15, "read_timeout": 60}
    return {"config_kwargs": retries, "use_listings_cache": False} if scheme == "s3" else {}


def _listed(system: Any, path: str, shown: str, address: str) -> tuple[list[RemoteFile], bool]:
    name = path.rstrip("/").rpartition("/")[2]
    if "{" in name:
        above = path[: -len(name)]
        names = expanded(name)
        return [_file(system.info(above + one), one, shown) for one in names], True
    info = system.info(path)
    if info["type"] != "directory":
        return [_file(info, _title(address), shown)], False
    prefix = info["name"].rstrip("/") + "/"
    found = system.find(path, detail=True)
    files = [
        _file(one, full[len(prefix) :], shown)
        for full, one in found.items()
        if full.startswith(prefix) and not full.endswith("/") and one["type"] == "file"
    ]
    if not files:
        raise FileNotFoundError(shown)
    if len(files) > _MOST_FILES:
        raise DataError(f"{shown} has more than {_MOST_FILES:,} files. Give archives or shards.")
    return files, True


def _file(info: Mapping[str, Any], name: str, shown: str) -> RemoteFile:
    size = info.get("size")
    stamp = next((str(info[key]) for key in _STAMPS if info.get(key)), "")
    changed_at = info.get("LastModified")
    seconds = changed_at.timestamp() if isinstance(changed_at, datetime) else None
    return RemoteFile(info["name"], _checked(name, shown), size, stamp, seconds)


def _checked(name: str, shown: str) -> str:
    """Give a name that stays in its folder: a bucket may call a file ``../../.bashrc``."""
    parts = name.split("/")
    if ":" in parts[0] or any(
        part in {"", ".", ".."} or "\0" in part or "\\" in part for part in parts
    ):
        raise DataError(f"{shown} has a file whose name leads out of its folder: {name[:100]!r}.")
    return name


def _missing(shown: str, package: str) -> str:
    return f"{shown} needs packages that are not installed. Run: pip install 'tenfold[remote]'" + (
        "" if package in {"s3fs", "aiohttp"} else f" {package}"
    )


def _as_data_error(error: Exception, shown: str, scheme: str) -> Exception:
    """Say what an error of a file system means."""
    if isinstance(error, DataError):
        return error
    rights = {
        "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        "gs": "GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth application-default login",
        "hf": "HF_TOKEN, or hf auth login",
    }.get(scheme, "the address and its signature")
    text = str(error).split("\n", 1)[0][:200]
    if isinstance(error, PermissionError) or type(error).__name__ == "NoCredentialsError":
        return DataError(
            f"{shown} may not be read with the present rights ({text or 'forbidden'}). Check "
            f"{rights}."
        )
    status = getattr(error, "status", None)
    if status in {401, 403}:
        return DataError(f"{shown} may not be read (HTTP status {status}). Check {rights}.")
    return DownloadError(
        f"{shown} cannot be looked at: {type(error).__name__}: {text}. Check the address and the "
        "network, and run the same command again; --offline takes what was fetched before."
    )


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Let one process at a time fetch from an address."""
    import filelock

    with storage_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home / ".lock"):
        yield


def _fetch_all(
    system: Any, files: Sequence[RemoteFile], root: Path, shown: str, progress: Progress
) -> None:
    missing = [one for one in files if not (root / one.name).is_file()]
    if not missing:
        return
    total = sum(one.size_bytes or 0 for one in missing)
    what = missing[0].name if len(missing) == 1 else f"{counted(len(missing), 'file')}"
    with progress.task(f"Fetching {what}", total=total, unit="B") as task:
        if len(missing) == 1:
            _fetch(system, missing[0], root, shown, task.advance)
            return
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch") as pool:
            try:
                for size in pool.map(lambda one: _fetch(system, one, root, shown), missing):
                    task.advance(size)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _fetch(
    system: Any, file: RemoteFile, root: Path, shown: str, advance: Callable[[float], object] = bool
) -> int:
    """Fetch a file, or what is left of it; it gets its name when it is whole."""
    target = root / file.name
    part = target.with_name(f".{target.name}.part")
    failures = 0
    with storage_errors(target, only_known=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        received = part.stat().st_size if part.exists() else 0
        if file.size_bytes is None or received > file.size_bytes:
            part.unlink(missing_ok=True)
            received = 0
        advance(received)
        while file.size_bytes is None or received < file.size_bytes:
            try:
                piece = _piece(system, file, received)
            except Exception as error:
                failures += 1
                if failures >= _ATTEMPTS or isinstance(error, FileNotFoundError | PermissionError):
                    raise _broken(file, received, shown, error) from error
                time.sleep(_FIRST_WAIT_SECONDS * 2 ** (failures - 1))
                continue
            failures = 0
            with part.open("ab") as opened:
                opened.write(piece)
            received += len(piece)
            advance(len(piece))
            if file.size_bytes is None:
                break
        if file.size_bytes is not None:
            _check_unchanged(system, file, shown, part)
        if not part.exists():  # an empty file
            part.touch()
        if file.changed_at is not None:  # The same file fetched again is the same to a study.
            os.utime(part, (file.changed_at, file.changed_at))
        part.replace(target)
    return received


def _piece(system: Any, file: RemoteFile, start: int) -> bytes:
    if file.size_bytes is None:
        return bytes(system.cat_file(file.path))
    end = min(start + _PIECE_BYTES, file.size_bytes)
    content = bytes(system.cat_file(file.path, start=start, end=end))
    if len(content) == file.size_bytes and len(content) > end - start:
        return content[start:]  # The server knows no ranges, and gives the whole file.
    if len(content) != end - start:
        raise OSError(f"{len(content):,} bytes came instead of {end - start:,}")
    return content


def _check_unchanged(system: Any, file: RemoteFile, shown: str, part: Path) -> None:
    """Check that pieces are of one file."""
    if (file.size_bytes or 0) <= _PIECE_BYTES:
        return
    try:
        now = _file(system.info(file.path), file.name, shown)
    except Exception as error:
        raise _broken(file, file.size_bytes or 0, shown, error) from error
    if (now.size_bytes, now.stamp) != (file.size_bytes, file.stamp):
        part.unlink(missing_ok=True)
        raise DownloadError(f"{shown} changed while it was fetched. Run the same command again.")


def _broken(file: RemoteFile, received: int, shown: str, error: Exception) -> DownloadError:
    reason = f"{type(error).__name__}: {str(error).splitlines()[0][:150] if str(error) else ''}"
    size = f" of {file.size_bytes:,}" if file.size_bytes is not None else ""
    return DownloadError(
        f"{shown} could not be fetched whole: {file.name} broke off after {received:,}{size} bytes "
        f"({reason.rstrip(': ')}). Run the same command again: it goes on from there."
    )
