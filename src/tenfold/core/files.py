"""Files that are whole or not there: atomic writes, hashes, and clear errors of the disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenfold.core.errors import StorageError

_ADVICE: dict[int | None, str] = {
    errno.ENOSPC: "The disk is full. Free some space and run the same command again: "
    "what is complete is kept.",
    errno.EDQUOT: "Your disk quota is used up. Free some space and run the same command again: "
    "what is complete is kept.",
    errno.EROFS: "The file system is read-only. Choose another folder with --out.",
    errno.EACCES: "Permission was denied. Choose a folder that you may write to with --out.",
    errno.EPERM: "Permission was denied. Choose a folder that you may write to with --out.",
    errno.ENOTDIR: "A part of this path is a file, not a folder. Choose another folder with --out.",
    errno.EEXIST: "A file stands where a folder is needed. Choose another folder with --out.",
}


@contextmanager
def storage_errors(path: Path, *, only_known: bool = False) -> Iterator[None]:
    """Turn the operating system's errors about writing `path` into a StorageError with advice.

    Parameters
    ----------
    path
        What is written, for the message.
    only_known
        Around a block that does more than write: let errors pass that say nothing of a disk.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if only_known and error.errno not in _ADVICE:
            raise
        reason = f"{error.strerror or error}. Choose another folder with --out."
        raise StorageError(f"Cannot write {path}: {_ADVICE.get(error.errno, reason)}") from error


@contextmanager
def atomic_path(path: Path, *, only_known: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename it to `path` if the block succeeds.

    A reader sees the old file or the new one, whole; a kill leaves at most a ``.part`` file, which
    the next write replaces. `only_known` is that of `storage_errors`.
    """
    part = path.with_name(f".{path.name}.part")
    with storage_errors(path, only_known=only_known):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as part:
        part.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file atomically, with ``\\n`` line ends."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write plain data as indented JSON, atomically; NaN and infinity are refused."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A path that is no UTF-8 holds lone surrogates; what replaces them is JSON's escape for them.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def sha256_of_file(path: Path) -> str:
    """Give the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(content: Any) -> str:
    """Give the SHA-256 of plain data, the same for the same content whatever its key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
