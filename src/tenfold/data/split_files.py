"""A split on disk: two plain NumPy files, loaded without pickle."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import RunFolderError
from tenfold.core.files import atomic_path
from tenfold.data.dataset import ImageSplit

SplitName = Literal["train", "test"]

# What NumPy's readers and the ZIP reader under them raise for damaged files.
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,
    TypeError,
    AttributeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def write_split(folder: Path, name: SplitName, split: ImageSplit) -> None:
    """Write ``NAME_images.npy`` and ``NAME_labels.npy``."""
    write_array(folder / f"{name}_images.npy", split.images)
    write_array(folder / f"{name}_labels.npy", split.labels)


def read_split(folder: Path, name: SplitName) -> ImageSplit:
    """Read a split into memory.

    Raises
    ------
    RunFolderError
        If a file is missing or is not such an array.
    """
    images = _read_array(folder / f"{name}_images.npy")
    labels = _read_array(folder / f"{name}_labels.npy")
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or labels.dtype.kind not in "iu"
        or labels.shape != images.shape[:1]
    ):
        raise RunFolderError(
            f"{folder} does not hold images and labels that fit each other (images "
            f"{images.dtype} {images.shape}, labels {labels.dtype} {labels.shape}). It was "
            "changed by hand; use another --out."
        )
    return ImageSplit(images, labels.astype(np.int64, copy=False))


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write one array as .npy, atomically."""
    with atomic_path(path) as part, part.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def write_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write named arrays as .npz, atomically."""
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays from an .npz file.

    Raises
    ------
    RunFolderError
        If the file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except _DAMAGE as error:
        raise _unreadable(path, error) from None


def _read_array(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except _DAMAGE as error:
        raise _unreadable(path, error) from None
    return array


def _unreadable(path: Path, error: Exception) -> RunFolderError:
    return RunFolderError(
        f"{path} cannot be read ({error}). It is missing or damaged; run the same command again."
    )
