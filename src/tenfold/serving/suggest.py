"""Which of many unlabelled images to label next, and how that is handed to who labels them.

::

    suggestions = suggest_images(load(path), find_images(["photos/"]), count=100)
    for chosen in suggestions.chosen:
        chosen.name, chosen.suggested, chosen.margin

The method is in `tenfold.evaluation.active_learning`. What is written is a table with an empty
column ``label``: filled in beside the copied files, it is a data set that `tenfold run` reads.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.classifier import ImageClassifier
from tenfold.core.errors import DataError
from tenfold.core.files import storage_errors, write_text
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.records.data import LeftOutImage
from tenfold.core.text import csv_line, readable
from tenfold.data.dataset import Images
from tenfold.data.images.formats import DecodingLimits
from tenfold.data.images.stream import read_images
from tenfold.evaluation.active_learning import (
    Method,
    choose_by_clusters,
    choose_by_gradients,
    choose_by_margin,
    margins,
    standardised,
)
from tenfold.serving.onnx_model import are_probabilities
from tenfold.serving.prediction import FoundImages
from tenfold.training.device import choose_device
from tenfold.training.inference import features_and_logits
from tenfold.training.temperature import calibrated_probabilities

METHODS: Mapping[str, Method] = {
    "badge": choose_by_gradients,
    "clusters": choose_by_clusters,
    "margin": choose_by_margin,
}
"""By the name that the command line takes; the first is the default."""
LABELS = "labels.csv"
"""In the folder of copies."""
_AT_ONCE = 64
_LIMITS = DecodingLimits()


@dataclass(frozen=True)
class Suggestion:
    """An image that is worth a label.

    Parameters
    ----------
    name
        Its path as it was given or found.
    suggested
        The class that the model finds most probable, an index.
    probability
        Of that class, calibrated.
    margin
        How much more probable it is than the next one, 0 to 1.
    """

    name: str
    suggested: int
    probability: float
    margin: float


@dataclass(frozen=True)
class Suggestions:
    """What to label next.

    Parameters
    ----------
    chosen
        What teaches most first.
    looked_at
        Images that the model saw.
    unreadable
        What cannot be read, and why.
    """

    chosen: tuple[Suggestion, ...]
    looked_at: int
    unreadable: tuple[LeftOutImage, ...]


def suggest_images(
    model: ImageClassifier,
    found: FoundImages,
    count: int,
    *,
    method: str = "badge",
    seed: int = 0,
    progress: Progress | None = None,
    limits: DecodingLimits = _LIMITS,
) -> Suggestions:
    """Look at all images, and choose those whose labels would teach the model most.

    Of every image its features and probabilities stay in memory, not its pixels.

    Parameters
    ----------
    model
        From `tenfold.load`.
    found
        The images; see `tenfold.serving.prediction.find_images`.
    count
        Images wanted; all that can be read if there are fewer.
    method
        One of `METHODS`.
    seed
        Of what the method draws.
    progress
        Who is told.
    limits
        What decoding one image may cost.
    """
    names: list[str] = []
    unreadable = list(found.left_out)
    features: list[npt.NDArray[np.float32]] = []
    probabilities: list[npt.NDArray[np.float32]] = []
    task = (progress or SilentProgress()).task("Looking", len(found.files), unit="images")
    with task as bar:
        for names_read, pixels, left_out in _blocks(model, found, limits):
            unreadable += left_out
            if len(pixels):
                of_block, predicted = _look_at(model, pixels)
                is_sound = np.array(list(are_probabilities(predicted)))
                unreadable += [
                    LeftOutImage(path=name, reason="the model gives no finite probabilities for it")
                    for name, good in zip(names_read, is_sound, strict=True)
                    if not good
                ]
                names += [n for n, good in zip(names_read, is_sound, strict=True) if good]
                features.append(of_block[is_sound])
                probabilities.append(predicted[is_sound])
            bar.advance(len(names_read) + len(left_out))
    if not names:
        return Suggestions((), 0, tuple(unreadable))
    all_probabilities = np.concatenate(probabilities).astype(np.float64)
    places = METHODS[method](
        standardised(np.concatenate(features)),
        all_probabilities,
        count,
        np.random.default_rng(seed),
    )
    gap = margins(all_probabilities)
    chosen = tuple(
        Suggestion(
            names[place],
            int(all_probabilities[place].argmax()),
            float(all_probabilities[place].max()),
            float(gap[place]),
        )
        for place in places.tolist()
    )
    return Suggestions(chosen, len(names), tuple(unreadable))


def _blocks(
    model: ImageClassifier, found: FoundImages, limits: DecodingLimits
) -> Iterator[tuple[list[str], Images, list[LeftOutImage]]]:
    """Give names and pixels of a few images, and what could not be read among them."""
    names: list[str] = []
    pixels: list[npt.NDArray[np.uint8]] = []
    left_out: list[LeftOutImage] = []
    shape = model.image_shape_

    def block() -> tuple[list[str], Images, list[LeftOutImage]]:
        return names, np.stack(pixels) if pixels else np.empty((0, *shape), np.uint8), left_out

    for image in read_images(
        found.files,
        shape,
        ranges=model.model_record_.value_ranges,
        limits=limits,
        ahead=2 * _AT_ONCE,
    ):
        if image.pixels is None:
            left_out.append(LeftOutImage(path=image.name, reason=image.reason))
        else:
            names.append(image.name)
            pixels.append(image.pixels)
        if len(names) + len(left_out) == _AT_ONCE:
            yield block()
            names, pixels, left_out = [], [], []
    yield block()


def _look_at(
    model: ImageClassifier, pixels: Images
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Give features and calibrated probabilities."""
    device = choose_device(model.device)
    features, logits = features_and_logits(
        model.network_.to(device.torch_device),
        pixels,
        device=device,
        precision=device.precision(model.model_record_.precision),
    )
    return features, calibrated_probabilities(logits, model.temperature_)


def suggestions_csv(
    suggestions: Suggestions, classes: tuple[str, ...], files: tuple[str, ...] | None = None
) -> str:
    """Give a table: file_name, label (empty, to be filled in), suggested, probability, margin.

    Parameters
    ----------
    suggestions
        What was chosen.
    classes
        Names by index.
    files
        What each image is called in the table, in the order of the suggestions; None for its own
        path.
    """
    lines = [csv_line(["file_name", "label", "suggested", "probability", "margin"])]
    names = files or tuple(one.name for one in suggestions.chosen)
    for name, one in zip(names, suggestions.chosen, strict=True):
        cells = [f"{one.probability:.4f}", f"{one.margin:.4f}"]
        lines.append(csv_line([name, "", classes[one.suggested], *cells]))
    return "".join(lines)


def check_new_folder(folder: Path) -> None:
    """Check that copies may be put there.

    Raises
    ------
    DataError
        If something is there already.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file. Copies go into a folder; give another.")
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(
            f"{folder} is not empty, and copies would mix with what is there. Give a new folder."
        )


def copy_suggestions(suggestions: Suggestions, classes: tuple[str, ...], folder: Path) -> None:
    """Copy the images into a new folder, numbered by rank, with the table `LABELS` beside them.

    Raises
    ------
    DataError
        If something is in the folder already, or an image is gone by now.
    StorageError
        If the disk is full, read-only or not permitted.
    """
    check_new_folder(folder)
    width = max(4, len(str(len(suggestions.chosen))))
    files: list[str] = []
    with storage_errors(folder, only_known=True):
        folder.mkdir(parents=True, exist_ok=True)
        for rank, one in enumerate(suggestions.chosen, start=1):
            source = Path(one.name)
            # The rank and a suffix: names of others may be alike, long, or not fit the disk.
            name = f"{rank:0{width}}{source.suffix.lower()}"
            try:
                shutil.copyfile(source, folder / name)
            except FileNotFoundError:
                raise DataError(
                    f"{readable(one.name)} is not there any more, so it cannot be copied. Let the "
                    "folder of images be as it is, and try again with another --copy-to."
                ) from None
            files.append(name)
    write_text(folder / LABELS, suggestions_csv(suggestions, classes, tuple(files)))
