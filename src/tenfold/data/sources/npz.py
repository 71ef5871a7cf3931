"""An .npz file with arrays of images and labels, as MedMNIST and Keras write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from tenfold.core.array_files import array_chunks, array_headers, is_in_rows, load_arrays
from tenfold.core.errors import DataError, nearest_names
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress
from tenfold.core.text import counted, shortlist
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.folder_splits import Role, role_of
from tenfold.data.sources.labelled_arrays import (
    ArrayTexts,
    LabelledArray,
    array_bytes,
    array_dataset,
    check_array_memory,
    check_image_type,
)
from tenfold.data.sources.large_arrays import CHUNK_BYTES, are_large, spooled_images
from tenfold.data.sources.source import Source, SourceOptions, fingerprint_of_files
from tenfold.data.store import StoredImages

Header = tuple[tuple[int, ...], np.dtype[Any]]
Kind = Literal["images", "labels"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("images", "image", "imgs", "img", "x", "data"), "images"),
    **dict.fromkeys(("labels", "label", "y", "targets", "target"), "labels"),
}
_CLASS_NAMES = ("class_names", "classes", "label_names")
_EXPECTED = (
    "Expected train_images and train_labels, test_images and test_labels, and val_images and "
    "val_labels if there are any (as in MedMNIST); or x_train, y_train, x_test, y_test (as in "
    "Keras); or images and labels, or x and y, alone"
)

_READING = 2
"""Raised when the same file gives other classes, splits or pixels than before."""


class NpzSource:
    """Images and labels in one .npz file, with splits of its own or split by us.

    Nothing in it is ever unpickled; types and shapes are checked before an array is read.
    """

    name = "npz"
    needs_path = True
    summary = "an .npz file of arrays: images and labels, or those of train, val and test"

    def recognises(self, path: Path) -> bool:
        """Say whether `path` is a file of this ending."""
        try:
            return path.suffix.lower() == ".npz" and path.is_file()
        except OSError:
            return False

    def available(self) -> str | None:
        """Say no: a file must be named."""
        return None

    def fingerprint(self, path: Path | None) -> str:
        """Give a digest of the file's name, size and time."""
        file = _given(path)
        return sha256_of_json(["npz", _READING, fingerprint_of_files(file.parent, (file,))])

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Read the arrays and split them if they are not.

        Raises
        ------
        DataError
            If the file is damaged, arrays are missing, do not fit each other, or are of another
            type, or a label is none.
        """
        file = _given(path)
        headers = _read(file, lambda: array_headers(file))
        pairs, unused = _pairs(file, headers)
        wanted = [name for pair in pairs.values() for name in pair.values()]
        for name in wanted:
            _check_type(file, name, headers[name])
        for pair in pairs.values():
            check_image_type(f"{pair['images']} in {file}", headers[pair["images"]][1])
        names_array = next((name for name in _CLASS_NAMES if name in unused), None)
        if names_array is not None and headers[names_array][1].kind != "U":
            names_array = None
        if names_array is not None:
            wanted.append(names_array)
            unused.remove(names_array)
        of_images = [pair["images"] for pair in pairs.values()]
        spooled = []
        if are_large(array_bytes(*headers[name]) for name in of_images):
            spooled = [name for name in of_images if _is_spooled(file, name, headers[name][0])]
        held = [name for name in wanted if name not in spooled]
        check_array_memory({name: array_bytes(*headers[name]) for name in held}, file)
        with progress.task(f"Reading {file.name}", total=len(wanted), unit="arrays") as task:
            arrays: dict[str, Any] = _read(file, lambda: load_arrays(file, *held))
            task.advance(len(held))
            for name in spooled:
                arrays[name] = _spooled(file, name, headers[name][0], options.work_folder)
                task.advance()
        splits: dict[Role, LabelledArray] = {
            role: LabelledArray(
                arrays[pair["images"]],
                arrays[pair["labels"]],
                f"{pair['images']} in {file}",
                f"{pair['labels']} in {file}",
            )
            for role, pair in pairs.items()
        }
        notes = [f"Other arrays in the file were not used: {shortlist(unused)}."] if unused else []
        dataset = array_dataset(
            splits,
            ArrayTexts(
                source=self.name,
                location=file,
                title=file.stem,
                description=(
                    f"{counted(sum(len(part.images) for part in splits.values()), 'image')} from "
                    "an .npz file."
                ),
                whose="The file's own",
                notes=tuple(notes),
            ),
            options,
            None if names_array is None else _class_names(arrays[names_array]),
        )
        for line in (dataset.split_note, *dataset.notes):
            progress.say(line)
        return dataset


SOURCE: Source = NpzSource()


def _given(path: Path | None) -> Path:
    if path is None:
        raise DataError(f"The source 'npz' needs a file: tenfold run --data FILE.npz. {_EXPECTED}.")
    return path


def _read(file: Path, read: Any) -> Any:
    try:
        return read()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise DataError(
            f"{file} is not a whole .npz file ({error}). It is cut off or damaged, or was made to "
            "harm; copy or download it again, or save it again with numpy.savez_compressed."
        ) from error


def _is_spooled(file: Path, name: str, shape: tuple[int, ...]) -> bool:
    """Say whether an array's images can be read one after the other; others are refused later."""
    is_images = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    return is_images and 0 not in shape and _read(file, lambda: is_in_rows(file, name))


def _spooled(file: Path, name: str, shape: tuple[int, ...], folder: Path | None) -> StoredImages:
    chunks = array_chunks(file, name, CHUNK_BYTES)
    return cast(StoredImages, _read(file, lambda: spooled_images(chunks, shape, folder)))


def _pairs(
    file: Path, headers: Mapping[str, Header]
) -> tuple[dict[Role, dict[Kind, str]], list[str]]:
    """Give each split's arrays by what they are, and the names of the others."""
    pairs: dict[Role, dict[Kind, str]] = {}
    alone: dict[Kind, str] = {}
    unused = []
    for name in headers:
        role, kind = _meaning(name)
        place = alone if role is None else pairs.setdefault(role, {})
        if kind is None or kind in place:
            if role is not None and not pairs[role]:
                del pairs[role]
            unused.append(name)
        else:
            place[kind] = name
    if "train" not in pairs and not (pairs.keys() - {"train"}) and len(alone) == 2:
        pairs = {"train": alone}
    else:
        unused += alone.values()
    has_both = all(len(pair) == 2 for pair in pairs.values())
    if "train" in pairs and has_both:
        return pairs, unused
    raise DataError(f"{file} {_what_is_missing(pairs, headers)} {_EXPECTED}.")


def _what_is_missing(
    pairs: Mapping[Role, Mapping[Kind, str]], headers: Mapping[str, Header]
) -> str:
    found = shortlist([_shown(name, header) for name, header in headers.items()]) or "no array"
    for pair in pairs.values():
        if len(pair) == 1:
            ((_, known),) = pair.items()
            wanted = _counterpart(known)
            near = [name for name in nearest_names(wanted, headers) if name != known]
            hint = f" Is it {' or '.join(near)}? Then rename it." if near else ""
            return f"has {known} but no {wanted}; it holds {found}.{hint}"
    if pairs:
        return f"has no training images; it holds {found}."
    return f"has no images and labels by their names; it holds {found}."


def _counterpart(name: str) -> str:
    """Give what the array beside one should be called: ``train_labels`` for ``train_images``."""
    words = {"images": "labels", "labels": "images", "x": "y", "y": "x", "X": "y"}
    return re.sub("[A-Za-z]+", lambda word: words.get(word[0], word[0]), name)


def _meaning(name: str) -> tuple[Role | None, Kind | None]:
    """Give split and kind that an array's name stands for: ``train_images``, ``X_test``, ``y``."""
    parts = [part for part in re.split(r"[_\-. ]+", name.lower()) if part]
    kinds = [_KINDS[part] for part in parts if part in _KINDS]
    rest = [part for part in parts if part not in _KINDS]
    role = role_of("".join(rest)) if rest else None
    if len(kinds) != 1 or (rest and role is None):
        return None, None
    return role, kinds[0]


def _check_type(file: Path, name: str, header: Header) -> None:
    if header[1].hasobject:
        raise DataError(
            f"{name} in {file} holds Python objects, which are never unpickled: such a file can "
            "run a program. Save plain arrays: images as uint8, labels as "
            "labels.astype(int) or labels.astype(str)."
        )


def _shown(name: str, header: Header) -> str:
    shape = " × ".join(map(str, header[0]))
    return f"{name} ({header[1]}{', ' if shape else ''}{shape})"


def _class_names(names: npt.NDArray[Any]) -> dict[int, str] | None:
    """Give the names of the labels 0, 1, ...; None unless each names another class."""
    texts = [str(name).strip() for name in names.ravel().tolist()]
    return dict(enumerate(texts)) if all(texts) and len({*texts}) == len(texts) else None
