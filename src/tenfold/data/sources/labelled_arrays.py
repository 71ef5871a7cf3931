"""Arrays of images and labels, by split, as a data set: what .npz and idx files hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.machine import available_memory, in_gib
from tenfold.core.text import counted, shortlist
from tenfold.data.dataset import ImageDataset, ImageSplit, Labels
from tenfold.data.sources.folder_files import natural_key
from tenfold.data.sources.folder_splits import Role
from tenfold.data.sources.labelled_files import untested_notes
from tenfold.data.sources.large_arrays import joined_images
from tenfold.data.sources.pixel_rows import reorder_rows
from tenfold.data.sources.source import SourceOptions
from tenfold.data.splits import exact_groups, stratified_split
from tenfold.data.store import AnyImages, StoredImages, images_at_size, some_images

_CHANNELS = (1, 3)
_COPIES = 2.2
"""The arrays as they lie in the file, once more in the order of the data set."""


@dataclass(frozen=True, eq=False)
class LabelledArray:
    """The images of one split and their labels, both as they were read.

    Parameters
    ----------
    images
        uint8, shape (N, H, W) or (N, H, W, C), C being 1 or 3; of all splits in memory, or of none.
    labels
        Whole numbers, or text; shape (N,) or (N, 1).
    images_name, labels_name
        What each is called, for messages: ``train_images in x.npz``.
    """

    images: npt.NDArray[Any] | StoredImages
    labels: npt.NDArray[Any]
    images_name: str
    labels_name: str


@dataclass(frozen=True)
class ArrayTexts:
    """What is said of a data set that is made of arrays; see `ImageDataset`."""

    source: str
    location: Path
    title: str
    description: str
    whose: str
    """Whose splits these are, for people: "The file's own"."""
    notes: tuple[str, ...] = ()


def array_dataset(
    splits: Mapping[Role, LabelledArray],
    texts: ArrayTexts,
    options: SourceOptions,
    class_names: Mapping[int, str] | None = None,
) -> ImageDataset:
    """Make a data set of arrays, in an order that the seed fixes.

    Parameters
    ----------
    splits
        With training images; without test images the validation images take their place, and
        without either tenfold splits.
    texts
        What it is called.
    options
        Of the source.
    class_names
        Names of labels that are numbers; None for the numbers themselves.

    Raises
    ------
    DataError
        If arrays do not fit each other, a label is none, or a class is not in training.
    """
    notes = [*texts.notes]
    parts = dict(splits)
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
        notes.append("There are no test images, so the validation images are the test images.")
    images = {role: _checked_images(part) for role, part in parts.items()}
    _check_shapes(parts, images)
    named = {
        role: _label_texts(part, len(images[role]), class_names) for role, part in parts.items()
    }
    classes = sorted(set(named["train"].tolist()), key=natural_key)
    labels = {
        role: _encoded(texts_, classes, role, parts[role].labels_name)
        for role, texts_ in named.items()
    }
    train, test, is_validation = _split(images, labels, options)
    resized = 0
    if options.image_size_px is not None and train.image_shape[:2] != (options.image_size_px,) * 2:
        size_px = options.image_size_px
        resized = len(train) + len(test)
        train, test = (
            ImageSplit(images_at_size(part.images, size_px), part.labels) for part in (train, test)
        )
    notes += untested_notes(classes, test)
    return ImageDataset(
        source=texts.source,
        location=str(texts.location),
        title=texts.title,
        description=texts.description,
        classes=tuple(classes),
        train=train,
        test=test,
        split_note=_split_note(parts, texts.whose, options),
        resized=resized,
        notes=tuple(notes),
        is_validation=is_validation if is_validation.any() else None,
    )


def check_array_memory(sizes_bytes: Mapping[str, int], where: Path) -> None:
    """Check that arrays of these sizes can be read, before one of them is.

    Raises
    ------
    DataError
        If they need more memory than there is.
    """
    memory = available_memory()
    needed = int(sum(sizes_bytes.values()) * _COPIES)
    if memory is not None and needed > memory:
        largest = max(sizes_bytes, key=lambda name: sizes_bytes[name])
        raise DataError(
            f"{where} needs {in_gib(needed)} of memory to be read, but {in_gib(memory)} are free; "
            f"the largest array is {largest} ({in_gib(sizes_bytes[largest])}). Save fewer or "
            "smaller images, or use a machine with more memory."
        )


def _checked_images(part: LabelledArray) -> AnyImages:
    """Give a split's images with an axis of channels."""
    array = part.images
    if isinstance(array, StoredImages):
        return array
    check_image_type(part.images_name, array.dtype)
    shape = " × ".join(map(str, array.shape))
    is_good = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in _CHANNELS)
    if not is_good or 0 in array.shape:
        raise DataError(
            f"{part.images_name} has the shape {shape or 'of a single number'}. Expected images "
            "of shape (N, height, width), or (N, height, width, channels) with 1 or 3 channels, "
            f"and at least one.{_shape_advice(array.shape)}"
        )
    return array[..., np.newaxis] if array.ndim == 3 else array


def check_image_type(name: str, dtype: np.dtype[Any]) -> None:
    """Check that an array may be images, before it is read: another may be 16 times as large.

    Raises
    ------
    DataError
        If it is not uint8; `name` says which array.
    """
    advice = {
        "f": "If they are from 0 to 1, save (images * 255).round().astype('uint8') instead.",
        "b": "Save images.astype('uint8') * 255 instead.",
    }
    if dtype != np.uint8:
        raise DataError(
            f"{name} is of type {dtype}; images are whole numbers from 0 to 255 of type uint8. "
            + advice.get(
                dtype.kind,
                "If they are from 0 to 255, save images.astype('uint8') instead; if they have more "
                "bits, scale them first.",
            )
        )


def _shape_advice(shape: tuple[int, ...]) -> str:
    if len(shape) == 4 and shape[3] == 4:
        return " Leave the transparency out: images[..., :3]."
    if len(shape) == 4 and shape[1] in _CHANNELS:
        return " Put the channels last: images.transpose(0, 2, 3, 1)."
    if len(shape) == 5:
        return " Volumes and films are no images here: save single pictures."
    if len(shape) == 2:
        return " Give each image its height and width: images.reshape(-1, height, width)."
    return ""


def _check_shapes(parts: Mapping[Role, LabelledArray], images: Mapping[Role, AnyImages]) -> None:
    shapes = {role: array.shape[1:] for role, array in images.items()}
    for role, shape in shapes.items():
        if shape != shapes["train"]:
            one, other = (" × ".join(map(str, found)) for found in (shapes["train"], shape))
            raise DataError(
                f"{parts['train'].images_name} has images of {one} (height, width, channels) and "
                f"{parts[role].images_name} of {other}. All splits need images of one shape: "
                "resize them and save them again."
            )


def _label_texts(
    part: LabelledArray, count: int, class_names: Mapping[int, str] | None
) -> npt.NDArray[Any]:
    """Give the class name of every image, an array of text of shape (N,)."""
    labels, name = part.labels, part.labels_name
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        shape = " × ".join(map(str, labels.shape))
        advice = (
            " If each row has a single 1, save labels.argmax(axis=1); images that are of several "
            "classes at once are not what tenfold learns."
            if labels.ndim == 2
            else ""
        )
        raise DataError(
            f"{name} has the shape {shape}. Expected one label an image: shape ({count:,},) or "
            f"({count:,}, 1).{advice}"
        )
    if len(labels) != count:
        raise DataError(
            f"{name} has {counted(len(labels), 'label')}, but {part.images_name} has "
            f"{counted(count, 'image')}. Each image needs one label."
        )
    if labels.dtype.kind == "U":
        texts = np.array([text.strip() for text in labels.tolist()], dtype=object)
        _check_each(np.array([bool(text) for text in texts]), labels, name, "is empty")
        return texts
    if labels.dtype.kind == "f":
        is_whole = np.isfinite(labels) & (labels == np.round(labels))
        _check_each(is_whole, labels, name, "is no whole number")
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iub":
        raise DataError(
            f"{name} is of type {labels.dtype}. Labels are whole numbers or text: save "
            "labels.astype(int) or labels.astype(str)."
        )
    numbers, inverse = np.unique(labels, return_inverse=True)
    known = class_names or {}
    names = [known.get(int(number), str(int(number))) for number in numbers]
    return np.array(names, dtype=object)[inverse]


def _check_each(
    is_good: npt.NDArray[np.bool_], labels: npt.NDArray[Any], name: str, what: str
) -> None:
    wrong = np.flatnonzero(~is_good)
    if len(wrong):
        row = int(wrong[0])
        more = f", and so are {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        raise DataError(
            f"{name}: the label of row {row} (counted from 0), {str(labels[row])!r}, {what}{more}. "
            "Every image needs a label; leave such images out, or label them."
        )


def _encoded(names: npt.NDArray[Any], classes: list[str], role: Role, where: str) -> Labels:
    place = {name: index for index, name in enumerate(classes)}
    unknown = sorted({*names.tolist()} - place.keys(), key=natural_key)
    if unknown:
        near = sorted({match for name in unknown for match in nearest_names(name, classes)})
        hint = f" Did you mean {shortlist(near)}?" if near else ""
        row = int(np.flatnonzero(np.isin(names, unknown))[0])
        raise DataError(
            f"{where} has labels that no training image has: {shortlist(unknown)} (first in row "
            f"{row}, counted from 0). Training has {shortlist(classes)}.{hint} A class of the "
            f"{role} split must be in training too."
        )
    return np.array([place[name] for name in names.tolist()], dtype=np.int64)


def _split(
    images: Mapping[Role, AnyImages], labels: Mapping[Role, Labels], options: SourceOptions
) -> tuple[ImageSplit, ImageSplit, npt.NDArray[np.bool_]]:
    """Give both splits in a random order, and which training images are to validate by."""
    rng = np.random.default_rng(options.seed)
    trained: tuple[Role, ...] = ("train", "validation") if "validation" in images else ("train",)
    train_images = _joined([images[role] for role in trained])
    train_labels = np.concatenate([labels[role] for role in trained])
    if "test" in images:
        order = rng.permutation(len(train_labels))
        test_order = rng.permutation(len(labels["test"]))
        test = ImageSplit(
            _reordered(_joined([images["test"]]), test_order), labels["test"][test_order]
        )
        is_validation = order >= len(labels["train"])
        train_images = _reordered(train_images, order)
        return ImageSplit(train_images, train_labels[order]), test, is_validation
    train, drawn = stratified_split(
        train_labels, options.test_fraction, rng, exact_groups(train_images)
    )
    if not len(drawn):
        raise DataError(
            "There is one image a class, so none can be set aside as test images. Add images: at "
            "least two of one class, better twenty of each."
        )
    train_images = _reordered(train_images, np.concatenate([train, drawn]))
    return (
        ImageSplit(some_images(train_images, slice(len(train))), train_labels[train]),
        ImageSplit(some_images(train_images, slice(len(train), None)), train_labels[drawn]),
        np.zeros(len(train), dtype=bool),
    )


def _joined(parts: list[AnyImages]) -> AnyImages:
    stored = [part for part in parts if isinstance(part, StoredImages)]
    if stored:
        assert len(stored) == len(parts)
        return joined_images(stored)
    arrays = [part for part in parts if not isinstance(part, StoredImages)]
    if len(arrays) == 1:
        return np.require(arrays[0], requirements=["C", "W"])
    return np.concatenate(arrays)


def _reordered(images: AnyImages, order: npt.NDArray[np.int64]) -> AnyImages:
    """Give images in another order; an array is changed in place."""
    if isinstance(images, StoredImages):
        return images.rows(order)
    reorder_rows(images, order)
    return images


def _split_note(parts: Mapping[Role, LabelledArray], whose: str, options: SourceOptions) -> str:
    if "test" not in parts:
        return options.split_note()
    words: dict[Role, str] = {"train": "training", "validation": "validation", "test": "testing"}
    shown = ", ".join(
        f"{counted(len(parts[role].labels), 'image')} for {word}"
        for role, word in words.items()
        if role in parts
    )
    return f"{whose} splits: {shown}."


def array_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Give how many bytes an array takes."""
    return prod(shape) * dtype.itemsize
