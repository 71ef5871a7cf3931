"""NumPy's files, .npy and .npz, read with care: never unpickled, never unpacked without end."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core.files import check_regular_file, damage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Arrays of little but zeros shrink a thousandfold, and so do files made to exhaust the memory.
_ALWAYS_UNPACKED_BYTES = 2**28
_MOST_EXPANSION = 200


def load_array(path: Path, *, is_mapped: bool = False) -> npt.NDArray[Any]:
    """Give the array of an .npy file, never unpickled.

    `is_mapped` reads its header alone; the values are read out of the file when they are used.

    Raises
    ------
    OSError
        If the file is missing or is none.
    ValueError
        If it is damaged.
    """
    import numpy as np  # `tenfold --help` does without

    check_regular_file(path)
    with damage():
        array: npt.NDArray[Any] = np.load(
            path, mmap_mode="r" if is_mapped else None, allow_pickle=False
        )
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
    import numpy as np

    check_regular_file(path)
    with damage(), path.open("rb") as file:
        _check_expansion(file, path.stat().st_size)
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in names or stored.files}


def _check_expansion(file: Any, size_bytes: int) -> None:
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max(_ALWAYS_UNPACKED_BYTES, _MOST_EXPANSION * size_bytes):
        raise ValueError(f"its {size_bytes:,} bytes unpack to {unpacked:,}")
    file.seek(0)


def array_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Give shape and type of each array of an .npz file, by name; of none is the content read.

    Raises
    ------
    OSError
        If the file is missing or is none.
    ValueError
        If it is damaged, or an array has not the bytes that its header says.
    """
    check_regular_file(path)
    found = {}
    with damage(), path.open("rb") as file:
        _check_expansion(file, path.stat().st_size)
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    continue
                with archive.open(member) as content:
                    shape, dtype = _array_header(content)
                    header_bytes = content.tell()
                name = member.filename.removesuffix(".npy")
                # What Python objects are pickled to has any length; such an array is never read.
                expected = math.prod(shape) * dtype.itemsize + header_bytes
                if not dtype.hasobject and member.file_size != expected:
                    raise ValueError(
                        f"{name} has {member.file_size:,} bytes instead of {expected:,}"
                    )
                found[name] = shape, dtype
    return found


def array_chunks(path: Path, name: str, chunk_bytes: int) -> Iterator[bytes]:
    """Give the values of an array of an .npz file as they lie, so many bytes at a time.

    Raises
    ------
    OSError
        If the file is missing or is none.
    ValueError
        If it is damaged.
    """
    check_regular_file(path)
    with damage(), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as content:
        _array_header(content)
        while chunk := content.read(chunk_bytes):
            yield chunk


def is_in_rows(path: Path, name: str) -> bool:
    """Say whether an array of an .npz file lies row by row, not column by column.

    Raises
    ------
    OSError, ValueError
        See `array_chunks`.
    """
    check_regular_file(path)
    with damage(), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as content:
        return not array_layout(content)[1]


def _array_header(content: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    shape, _, dtype = array_layout(content)
    return shape, dtype


def array_layout(content: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Give shape, whether columns come first, and type, as the head of an .npy file says.

    What NumPy raises of a head that is none has many types.
    """
    import numpy as np

    version = np.lib.format.read_magic(content)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    layout: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(content)
    return layout
