"""Read files that somebody named: a pipe is not waited for, a device or a bomb not read for ever.

What cannot be read is an OSError whose `strerror` says why, so that whoever opens files handles it
as they handle a missing permission.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST_TEXT_BYTES = 2**28
"""More than any record, settings or list that a study writes; read by programs, not by people."""

MOST_MODEL_BYTES = 2**32
"""More than the weights of any network that tenfold has."""

_CHUNK_BYTES = 2**20


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
