"""Predictions for many files.

::

    model = tenfold.load(path)
    for result in predict_files(model, find_images(["photos/", "cat.jpg"])):
        result.name, result.probabilities, result.reason

Images are decoded and scaled by the code that the acquire stage reads a data set with, and
predicted by the code that the evaluate stage scores with, in batches of the same size: what was
measured is what is predicted. An exported file is computed by ONNX Runtime, without torch.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import SettingsError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.records.data import LeftOutImage, ValueRanges
from tenfold.core.records.guarantees import PredictionSets
from tenfold.data.dataset import Images
from tenfold.data.images.formats import DecodingLimits
from tenfold.data.images.stream import ImageFile, ReadImage, read_images
from tenfold.data.sources.folder_files import FolderScan
from tenfold.serving.onnx_model import BATCH_SIZE, OnnxModel, are_probabilities
from tenfold.serving.promises import joined_notices, missing_in_file, missing_promises

if TYPE_CHECKING:  # it needs torch, which an exported file does without
    from tenfold.classifier import ImageClassifier
    from tenfold.training.device import Device
    from tenfold.training.model_folder import PackagedModel

STANDARD_INPUT = "-"
"""As a path: the bytes of one image on standard input."""
MOST_SENT_BYTES = 2**28
"""Of an image on standard input: more than the largest image that is decoded takes uncompressed."""
_LIMITS = DecodingLimits()
_LEAST_BLOCK = 512
Scored = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]
"""Probabilities, shape (N, classes), and how unlike the training images each is, shape (N,)."""
_UNSOUND = "the model gives no finite probabilities for it, or they do not sum to 1"


@dataclass(frozen=True)
class FoundImages:
    """What there is to predict.

    Parameters
    ----------
    files
        In the order of the paths given, a folder's in natural order.
    left_out
        Paths that cannot be looked into, and why.
    ignored
        Files in folders that are no images by their name.
    """

    files: tuple[ImageFile, ...]
    left_out: tuple[LeftOutImage, ...] = ()
    ignored: int = 0


@dataclass(frozen=True, eq=False)
class Predicted:
    """One image and what the model makes of it.

    Parameters
    ----------
    name
        The path as it was given or found; ``-`` for standard input.
    probabilities
        float32, shape (classes,), calibrated; None if the image cannot be read.
    reason
        Why it cannot be read; empty if it can.
    pixels
        uint8, shape (H, W, C): what the network saw; None if the image cannot be read.
    members
        Classes in its prediction set, the most probable first; None where the model has no sets.
    is_unlike
        Whether it is unlike anything in training; None where the model cannot tell.
    """

    name: str
    probabilities: npt.NDArray[np.float32] | None
    reason: str = ""
    pixels: npt.NDArray[np.uint8] | None = None
    members: tuple[int, ...] | None = None
    is_unlike: bool | None = None

    def top(self, count: int) -> list[tuple[int, float]]:
        """Give the `count` most probable classes as (index, probability), the first first."""
        assert self.probabilities is not None
        best = np.argsort(-self.probabilities, kind="stable")[:count]
        # The shortest text of the float32 itself, not of its double.
        return [(int(index), float(str(self.probabilities[index]))) for index in best]


def find_images(paths: Sequence[str], standard_input: BinaryIO | None = None) -> FoundImages:
    """Find the images that some paths mean.

    Parameters
    ----------
    paths
        Files, which are tried whatever their name; folders, whose image files are found at any
        depth; ``-`` for `standard_input`. What is not there comes out as an unreadable image.
    standard_input
        Read at most once.
    """
    files: list[ImageFile] = []
    scan = FolderScan()
    is_read = False
    for path in paths:
        if path == STANDARD_INPUT:
            if not is_read and standard_input is not None:
                files.append(_from_input(standard_input))
            is_read = True
        elif os.path.isdir(path):
            files += [ImageFile(str(file), file) for file in scan.images_below(Path(path))]
        else:
            files.append(ImageFile(path, Path(path)))
    return FoundImages(tuple(files), tuple(scan.left_out), scan.ignored)


def _from_input(stream: BinaryIO) -> ImageFile:
    content = stream.read(MOST_SENT_BYTES + 1)
    # A file that is cut off there cannot be decoded whole, and its reason says so.
    return ImageFile(STANDARD_INPUT, io.BytesIO(content[:MOST_SENT_BYTES]))


@dataclass(frozen=True)
class LoadedModel:
    """What predicts.

    Parameters
    ----------
    model
        For `predict_files`.
    classes
        Names by index.
    explained
        For `tenfold.serving.explanation.Explainer.of`; None where there are no explanations.
    notice
        What the user should know of the model's state.
    """

    model: ImageClassifier | OnnxModel
    classes: tuple[str, ...]
    explained: tuple[ImageClassifier, PackagedModel] | None = None
    notice: str | None = None


def load_model(
    path: Path, *, device: str | Device = "auto", is_explained: bool = False
) -> LoadedModel:
    """Read a model folder, that of a run folder, or a file that ``tenfold export`` wrote.

    Raises
    ------
    ModelFolderError
        If there is none.
    SettingsError
        If an exported file is to do what only a model folder can, or ONNX Runtime is not installed.
    """
    if path.suffix != ".onnx" or path.is_dir():
        from tenfold.classifier import classifier_of
        from tenfold.training.model_folder import outdated_notice, read_model_folder

        packaged = read_model_folder(path)
        classifier = classifier_of(packaged, device=device)
        explained = (classifier, packaged)
        notice = joined_notices(outdated_notice(path), missing_promises(packaged.record.guarantees))
        return LoadedModel(classifier, packaged.record.classes, explained, notice)
    if is_explained:
        raise SettingsError(
            f"--explain needs a model folder: {path} is an exported file, without the training "
            "images and the network that explanations are made with. Give the folder that it was "
            "exported from, or leave --explain out."
        )
    if isinstance(device, str) and device not in ("auto", "cpu"):
        raise SettingsError(
            f"--device is {device!r}, but an exported file is computed on the CPU. Leave it out, "
            "or give the model folder."
        )
    exported = OnnxModel.read(path)
    notice = missing_in_file(exported.description)
    return LoadedModel(exported, exported.classes, notice=notice)


@dataclass(frozen=True)
class _Model:
    """What there is to know of a model for predicting."""

    image_shape: tuple[int, int, int]
    value_ranges: ValueRanges
    predict: Callable[[Images], Scored]
    sets: PredictionSets | None
    threshold: float | None

    @classmethod
    def of(cls, model: ImageClassifier | OnnxModel) -> _Model:
        if isinstance(model, OnnxModel):
            description = model.description
            ranges, sets = description.value_ranges, description.prediction_sets
            threshold = description.unlike_threshold
            return cls(model.image_shape, ranges, model.predict_scored, sets, threshold)
        record = model.model_record_
        ranges, promised = record.value_ranges, record.guarantees
        if promised is None or promised.unlike is None:
            sets = None if promised is None else promised.sets
            return cls(
                model.image_shape_, ranges, lambda x: (model.predict_proba(x), None), sets, None
            )
        threshold = promised.unlike.threshold
        return cls(model.image_shape_, ranges, model.predict_scored, promised.sets, threshold)


def _batch_size_for(model: ImageClassifier | OnnxModel) -> int:
    if isinstance(model, OnnxModel):
        return BATCH_SIZE
    from tenfold.training.inference import (
        INFERENCE_BATCH_SIZE,
        LEAST_REMEMBERED_IMAGES,
        fitting_batch_size,
    )

    size = fitting_batch_size(INFERENCE_BATCH_SIZE, model.image_shape_)
    if model.network_.body.frozen is None:
        return size
    # So few that their features are not kept for a second look, which nobody takes.
    return min(size, LEAST_REMEMBERED_IMAGES - 1)


def images_of_a_block(model: ImageClassifier | OnnxModel, batch_size: int | None = None) -> int:
    """Give how many files are predicted independently of all others, in whole batches."""
    size = batch_size or _batch_size_for(model)
    return size * max(1, _LEAST_BLOCK // size)


def predict_files(
    model: ImageClassifier | OnnxModel,
    found: FoundImages,
    progress: Progress | None = None,
    *,
    batch_size: int | None = None,
    limits: DecodingLimits = _LIMITS,
) -> Iterator[Predicted]:
    """Predict images at a steady memory, however many there are.

    Parameters
    ----------
    model
        From `tenfold.load`, or an exported file's.
    found
        What to predict.
    progress
        Who is told.
    batch_size
        Images that the network sees at once. None for the evaluate stage's, as the last digits may
        depend on it, or fewer where large images or a pretrained network would take much memory.
    limits
        What decoding one image may cost.

    Yields
    ------
    Predicted
        One an image, in order; what cannot be read has a reason instead of probabilities.
    """
    for left in found.left_out:
        yield Predicted(left.path, None, left.reason)
    task = (progress or SilentProgress()).task("Predicting", len(found.files), unit="images")
    with task as bar:
        for batch in predict_batches(model, found.files, batch_size=batch_size, limits=limits):
            yield from batch
            bar.advance(len(batch))


def predict_batches(
    model: ImageClassifier | OnnxModel,
    files: Iterable[ImageFile],
    *,
    batch_size: int | None = None,
    limits: DecodingLimits = _LIMITS,
    ahead: int | None = None,
) -> Iterator[list[Predicted]]:
    """Predict files, batch by batch; see `predict_files`.

    `ahead` is the number of files that are taken before they are predicted, about.
    """
    own = _Model.of(model)
    size = batch_size or _batch_size_for(model)
    images = read_images(
        files,
        own.image_shape,
        ranges=own.value_ranges,
        limits=limits,
        ahead=2 * size if ahead is None else ahead,
    )
    for batch in _batches(images, size, images_of_a_block(model, batch_size)):
        yield list(_predicted(own, batch))


def predict_pixels(model: ImageClassifier | OnnxModel, images: Images) -> Iterator[Predicted]:
    """Predict decoded images, uint8 (N, H, W, C), named by their places, as `predict_files` does.

    Raises
    ------
    ImageShapeError
        If they are not of the model's own size.
    """
    own = _Model.of(model)
    read = (ReadImage(str(place), pixels) for place, pixels in enumerate(images))
    for batch in _batches(read, _batch_size_for(model), images_of_a_block(model)):
        yield from _predicted(own, batch)


def _batches(images: Iterator[ReadImage], size: int, block: int) -> Iterator[list[ReadImage]]:
    """Cut the stream so that each part has `size` images that can be read, but where a block ends.

    What is in a batch may show in the last digits; so, wherever a block is predicted, it is cut in
    the same way.
    """
    while content := list(islice(images, block)):
        batch: list[ReadImage] = []
        readable = 0
        for image in content:
            batch.append(image)
            readable += image.pixels is not None
            if readable == size:
                yield batch
                batch, readable = [], 0
        if batch:
            yield batch


def _predicted(model: _Model, batch: list[ReadImage]) -> Iterator[Predicted]:
    pixels = [image.pixels for image in batch if image.pixels is not None]
    rows, scores = np.empty((0, 1), np.float32), None
    if pixels:
        rows, scores = model.predict(np.stack(pixels))
    is_unlike: Iterator[bool | None] = repeat(None)
    if scores is not None and model.threshold is not None:
        is_unlike = iter((scores > np.float32(model.threshold)).tolist())
    results = zip(rows, are_probabilities(rows), strict=True)
    for image in batch:
        if image.pixels is None:
            yield Predicted(image.name, None, image.reason)
            continue
        row, is_sound = next(results)
        unlike = next(is_unlike)
        if is_sound:
            members = None if model.sets is None else tuple(model.sets.of_one(row))
            yield Predicted(image.name, row, pixels=image.pixels, members=members, is_unlike=unlike)
        else:
            yield Predicted(image.name, None, _UNSOUND)
