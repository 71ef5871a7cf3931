"""Read arrays from .npy and .npz files that may be damaged, or made to exhaust the memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.regular_files import check_regular_file

# Arrays of little but zeros shrink a thousandfold, and so do files made to exhaust the memory.
_ALWAYS_UNPACKED_BYTES = 2**28
_MOST_EXPANSION = 200


def load_array(path: Path) -> npt.NDArray[Any]:
    """Give the array of an .npy file, never unpickled.

    Raises
    ------
    OSError
        If the file is missing or is none.
    ValueError
        If it is damaged.
    """
    check_regular_file(path)
    with _damage():
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it holds several arrays")
    return array


def load_arrays(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Give arrays of an .npz file by name, never unpickled; all of them without names.

    Raises
    ------
    OSError
        If the file is missing or is none.
    ValueError
        If it is damaged, lacks one of the names, or unpacks to far more than it should.
    """
    check_regular_file(path)
    with _damage(), path.open("rb") as file:
        _check_expansion(file, path.stat().st_size)
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in names or stored.files}


@contextmanager
def _damage() -> Iterator[None]:
    """Turn what a damaged file raises into a ValueError.

    NumPy's reader parses the header as Python, and the ZIP reader has errors of its own.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _check_expansion(file: Any, size_bytes: int) -> None:
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max(_ALWAYS_UNPACKED_BYTES, _MOST_EXPANSION * size_bytes):
        raise ValueError(f"its {size_bytes:,} bytes unpack to {unpacked:,}")
    file.seek(0)
