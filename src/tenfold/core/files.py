"""Files written whole or not at all, whatever happens, and read with care, whoever named them.

A kill or a full disk leaves nothing half written. A pipe is not waited for, a device or a bomb not
read for ever: that is an OSError whose `strerror` says why, so that whoever opens files handles it
as they handle a missing permission.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenfold.core.errors import StorageError

MOST_TEXT_BYTES = 2**28
"""More than any record, settings or list that a study writes; read by programs, not by people."""
MOST_MODEL_BYTES = 2**32
"""More than the weights of any network that tenfold has."""
_CHUNK_BYTES = 2**20
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
    """Give a temporary name to write to; put it at `path` if the block succeeds.

    A reader sees the old file or the new one, whole; a kill leaves at most a ``.part`` file, which
    the next write replaces. What a link points to is replaced, not the link. A pipe or a device is
    written into when the block is done: renaming a file to its name would remove it. `only_known`
    is that of `storage_errors`.
    """
    with storage_errors(path, only_known=only_known):
        if _is_written_into(path):
            with tempfile.TemporaryDirectory() as folder:
                part = Path(folder) / "content.part"
                yield part
                with storage_errors(path):
                    _append(part, path)
            return
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        part = target.with_name(f".{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _is_written_into(path: Path) -> bool:
    """Say whether `path` is no file that may be replaced: a pipe, a device, an open stream.

    ``/dev/stdout`` and ``/dev/fd/63`` are links to what a shell has opened, which may be a file.
    """
    try:
        is_other = path.exists() and not path.is_file() and not path.is_dir()
    except OSError:
        return False
    parent = path.absolute().parent
    is_stream = path.is_symlink() and (parent == Path("/dev") or parent.name == "fd")
    return is_other or is_stream


def _append(part: Path, path: Path) -> None:
    """Write a file's content into a pipe or device, or behind what an open stream holds."""
    # Without O_TRUNC: standard output may be a log that was opened to be appended to.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    with part.open("rb") as source, os.fdopen(descriptor, "wb") as sink:
        shutil.copyfileobj(source, sink)


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


def replace_folder(new: Path, path: Path) -> None:
    """Put the folder `new` at `path`; what is there is removed only when `new` is in its place.

    A kill between the two renames leaves the old folder at `set_aside`, and `new` where it was:
    `recover_folder` then puts one of them back.
    """
    aside = set_aside(path)
    if not os.path.lexists(path):
        new.rename(path)
        _sync_folder(path.parent)
        return
    _remove(aside)
    path.rename(aside)
    try:
        new.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    _sync_folder(path.parent)
    _remove(aside)


def recover_folder(path: Path) -> None:
    """Finish what a kill in `replace_folder` left: the old folder is put back if none is there."""
    aside = set_aside(path)
    if os.path.lexists(aside):
        if os.path.lexists(path):
            _remove(aside)
        else:
            aside.rename(path)


def set_aside(path: Path) -> Path:
    """Give the place of a folder for the moment in which another takes its name."""
    return path.with_name(f".{path.name}.old")


def _remove(path: Path) -> None:
    """Remove a folder, or a link to one (what it points to is somebody's arrangement)."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_of_file(path: Path) -> str:
    """Give the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_bytes(content: bytes) -> str:
    """Give the hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_json(content: Any) -> str:
    """Give the SHA-256 of plain data, the same for the same content whatever its key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_of_bytes(text.encode("utf-8", "backslashreplace"))


def check_regular_file(path: Path, most_bytes: int | None = None) -> None:
    """Check that a path leads to a file that ends, before somebody else opens it.

    Parameters
    ----------
    path
        Links are followed.
    most_bytes
        Of the file; None for any number.

    Raises
    ------
    OSError
        If it is missing, is not permitted, is a pipe, a device or a folder, or is too long.
    """
    _check(os.stat(path), path, most_bytes)


def read_regular_file(path: Path, most_bytes: int) -> bytes:
    """Give a file's content.

    Raises
    ------
    OSError
        As `check_regular_file`.
    """
    check_regular_file(path, most_bytes)
    # A pipe may have taken the name meanwhile.
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _check(status, path, most_bytes)
        parts, received, wanted = [], 0, status.st_size + 1
        # Files of the system, as in /proc, say that they are empty, and others grow.
        while part := file.read(wanted):
            parts.append(part)
            received += len(part)
            if received > most_bytes:
                raise _too_long(path, received, most_bytes)
            wanted = _CHUNK_BYTES
    return b"".join(parts)


def read_pipe(path: Path, most_bytes: int) -> bytes:
    """Give what comes out of a pipe until it is closed; whoever named it has something to say.

    Raises
    ------
    OSError
        If it cannot be opened, or more comes.
    """
    with path.open("rb") as pipe:
        content = pipe.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise _too_long(path, len(content), most_bytes)
    return content


def _check(status: os.stat_result, path: Path, most_bytes: int | None) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    if most_bytes is not None and status.st_size > most_bytes:
        raise _too_long(path, status.st_size, most_bytes)


def _too_long(path: Path, size: int, most_bytes: int) -> OSError:
    reason = f"it has {size:,} bytes or more; at most {most_bytes:,} are read"
    return OSError(errno.EFBIG, reason, str(path))


@contextmanager
def damage() -> Iterator[None]:
    """Turn what a damaged file raises into a ValueError.

    NumPy's reader parses the header as Python, and the ZIP reader has errors of its own.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
