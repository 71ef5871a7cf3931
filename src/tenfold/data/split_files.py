"""A split on disk: plain NumPy files, loaded without pickle.

``NAME_images.npy`` and ``NAME_labels.npy`` are as the source gave them. Beside them may lie
``NAME_corrected_labels.npy`` and ``NAME_kept.npy`` (places of the images that stay), what
corrections made of them; ``train_groups.npy``, which training images are near-duplicates; and
``train_validation.npy``, places of the training images that the source sets aside to validate by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import RunFolderError
from tenfold.core.files import atomic_path, load_array, load_arrays
from tenfold.data.dataset import ImageSplit, Labels
from tenfold.data.duplicate_groups import Groups

SplitName = Literal["train", "test"]

_VALIDATION = "train_validation.npy"


def write_split(folder: Path, name: SplitName, split: ImageSplit) -> None:
    """Write ``NAME_images.npy`` and ``NAME_labels.npy``."""
    write_array(folder / f"{name}_images.npy", split.images)
    write_array(folder / f"{name}_labels.npy", split.labels)


def write_corrected(
    folder: Path, name: SplitName, labels: Labels, kept: npt.NDArray[np.int64]
) -> None:
    """Write what corrections made of a split, from then on `read_split` gives that.

    Parameters
    ----------
    labels
        int64, shape (N,): of all images of the split.
    kept
        int64, shape (M,), ascending: places of the images that stay.
    """
    write_array(folder / f"{name}_corrected_labels.npy", labels)
    write_array(folder / f"{name}_kept.npy", kept)


def write_groups(folder: Path, groups: Groups) -> None:
    """Write which images of the training split, corrected, are near-duplicates."""
    write_array(folder / "train_groups.npy", groups)


def read_groups(folder: Path) -> Groups:
    """Read which images of the training split, as `read_split` gives it, are near-duplicates."""
    groups: Groups = _read_array(folder / "train_groups.npy")
    return groups


def write_validation(folder: Path, is_validation: npt.NDArray[np.bool_]) -> None:
    """Write which images of the training split, as the source gave it, are to validate by."""
    write_array(folder / _VALIDATION, np.flatnonzero(is_validation))


def read_validation(folder: Path) -> npt.NDArray[np.bool_] | None:
    """Read which images of the training split, as `read_split` gives it, are to validate by.

    Returns
    -------
    bool, shape (N,); None if the source sets none aside, or corrections left none of them.

    Raises
    ------
    RunFolderError
        If a file is missing or is not such an array.
    """
    path = folder / _VALIDATION
    if not path.is_file():
        return None
    count = len(_read_array(folder / "train_labels.npy"))
    places = _read_array(path)
    is_list = places.ndim == 1 and places.dtype.kind in "iu"
    if not is_list or ((places < 0) | (places >= count)).any():
        raise RunFolderError(
            f"{path} does not fit the images beside it. It was changed by hand; use another --out."
        )
    is_validation = np.zeros(count, dtype=bool)
    is_validation[places] = True
    kept = kept_places(folder, "train")
    is_validation = is_validation if kept is None else is_validation[kept]
    return is_validation if is_validation.any() else None


def kept_places(folder: Path, name: SplitName) -> npt.NDArray[np.int64] | None:
    """Give the places that the images of `read_split` have in the source's split.

    None if they are all there: the places are the same.
    """
    path = folder / f"{name}_kept.npy"
    kept: npt.NDArray[np.int64] | None = _read_array(path) if path.is_file() else None
    return kept


def read_split(folder: Path, name: SplitName) -> ImageSplit:
    """Read a split into memory, with the corrections of the study applied.

    Raises
    ------
    RunFolderError
        If a file is missing or is not such an array.
    """
    split = read_given_split(folder, name)
    kept = kept_places(folder, name)
    if kept is None:
        return split
    labels = _read_array(folder / f"{name}_corrected_labels.npy")
    if labels.shape != split.labels.shape or (kept >= len(split)).any():
        raise RunFolderError(
            f"The corrected labels in {folder} do not fit its images. They were changed by hand; "
            "use another --out."
        )
    if len(kept) == len(split):
        return ImageSplit(split.images, labels)
    return ImageSplit(split.images[kept], labels[kept])


def read_labels(folder: Path, name: SplitName) -> Labels:
    """Read the labels of `read_split` alone."""
    kept = kept_places(folder, name)
    if kept is None:
        labels: Labels = _read_array(folder / f"{name}_labels.npy").astype(np.int64, copy=False)
        return labels
    corrected: Labels = _read_array(folder / f"{name}_corrected_labels.npy")[kept]
    return corrected


def read_given_split(folder: Path, name: SplitName) -> ImageSplit:
    """Read a split as the source gave it, whatever was corrected.

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
        return load_arrays(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _read_array(path: Path) -> npt.NDArray[Any]:
    try:
        return load_array(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> RunFolderError:
    return RunFolderError(
        f"{path} cannot be read ({error}). It is missing or damaged; run the same command again."
    )
