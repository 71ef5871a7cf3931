"""Real images of a model's kind: to check, to measure and to quantise an exported file with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.core.records.data import AcquireRecord, ValueRanges
from tenfold.core.records.training import ModelRecord
from tenfold.data.dataset import Images, ImageSplit, read_split
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.source import SourceOptions


@dataclass(frozen=True)
class RealImages:
    """Images that a model can take."""

    train: Images
    """uint8, shape (N, H, W, C): what an 8-bit version is fitted to."""
    test: ImageSplit
    """Labels as the model counts classes: what accuracies are measured on."""
    place: str
    """Where they are from, for people."""


def images_of_run(path: Path, model: ModelRecord) -> RealImages | None:
    """Give the images of the study that a model is of; None if they are not there.

    `path` is a run folder, or the model folder in one. The test split is opened to measure files
    that are finished; nothing is fitted to it.

    Raises
    ------
    DataError
        If the study has other data by now than the model was made of.
    """
    for run in (path, path.absolute().parent):
        record = run / "acquire" / "record.json"
        if not record.is_file():
            continue
        acquired = AcquireRecord.read(record)
        digests = model.data.train_sha256, model.data.test_sha256
        if (acquired.train_sha256, acquired.test_sha256) != digests:
            raise DataError(
                f"The data in {run} are not those that the model was made of: the study has read "
                "others since, or is of another model. Bring it up to date (tenfold run --out "
                f"{run}), or say where images of the model's classes are: --data PATH."
            )
        train = read_split(run / "acquire", "train")
        return RealImages(train.images, read_split(run / "acquire", "test"), f"the study in {run}")
    return None


def images_of_data(
    data: str,
    classes: tuple[str, ...],
    image_shape: tuple[int, int, int],
    value_ranges: ValueRanges,
) -> RealImages:
    """Read a data set, a source's name or a path, as a model of these properties sees it.

    Raises
    ------
    DataError
        If it cannot be read, has other classes, or its images cannot be brought to the shape.
    """
    source, path, _ = find_source(data)
    options = SourceOptions(image_size_px=image_shape[0], value_ranges=value_ranges)
    dataset = source.load(path, options, SilentProgress())
    if dataset.train.images.shape[1:] != image_shape:
        raise DataError(
            f"The images of {data} have shape {dataset.train.images.shape[1:]} (height, width, "
            f"channels), but the model takes {image_shape}. Give the data set that the model was "
            "trained on."
        )
    unknown = sorted(set(dataset.classes) - set(classes))
    if unknown:
        raise DataError(
            f"{data} has classes that the model does not know: {', '.join(unknown[:5])}. The model "
            f"knows {', '.join(classes[:20])}. Give the data set that it was trained on."
        )
    index = np.array([classes.index(name) for name in dataset.classes], dtype=np.int64)
    test = ImageSplit(dataset.test.images, index[dataset.test.labels])
    return RealImages(dataset.train.images, test, dataset.location)


def images_for(path: Path, data: str | None, model: ModelRecord) -> RealImages:
    """Give the images of ``--data``, or of the study that a model lies in.

    Raises
    ------
    DataError
        If there are none.
    """
    if data is not None:
        return images_of_data(data, model.classes, model.image_shape, model.value_ranges)
    images = images_of_run(path, model)
    if images is None:
        raise DataError(
            f"{path} lies in no run folder, so there are no real images to check the exported file "
            "with. Say where some are: --data NAME or --data PATH (the data set that the model was "
            "trained on, or images of the same classes)."
        )
    return images


def spread(images: Images, count: int) -> Images:
    """Give every n-th image: at least so many, where there are, and fewer than twice as many."""
    return images[:: max(1, len(images) // count)]
