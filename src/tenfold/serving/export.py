"""Export: the model as one file that answers alike, proved on real images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Container
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from tenfold.core.errors import DataError, ExportError, need
from tenfold.core.files import write_bytes
from tenfold.core.progress import SilentProgress
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.training import ModelRecord
from tenfold.core.run_folder import recorded_versions
from tenfold.data.dataset import Images, ImageSplit, read_split
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.source import SourceOptions
from tenfold.data.store import AnyImages
from tenfold.evaluation.unlike import UnlikeScore
from tenfold.models.model import ImageNetwork
from tenfold.serving.onnx_graph import conversion, onnx_bytes, quantized, spread
from tenfold.serving.onnx_model import BATCH_SIZE, OnnxDescription, OnnxModel
from tenfold.training.device import choose_device
from tenfold.training.model_folder import PackagedModel
from tenfold.training.temperature import predict_probabilities

PARITY_IMAGES = 1000
"""Images that the exported file and PyTorch both compute: seconds, even for large networks."""
TOLERANCE = 1e-4
"""Largest difference of a probability. Both compute in float32 but add up in other orders, which
gives some 1e-6; a forgotten step of the preprocessing gives 0.1."""
_TIMED_RUNS = 30
_MOST_TIMED_SECONDS = 0.5


def export_onnx(
    model: PackagedModel, out: Path, images: RealImages, *, is_int8: bool = False
) -> Export:
    """Write a model as an ONNX file after checking it against PyTorch.

    With `is_int8` an int8 version is written beside it, see `int8_path`, and both are measured.

    Raises
    ------
    ExportError
        If what was exported does not give what the model gives, or cannot be made; then nothing is
        written.
    SettingsError
        If the packages of the extra ``onnx`` are not there.
    """
    exported = exported_model(model, checked_images(images))
    files = {out: exported.content}
    measurements: list[Measurement] = []
    if is_int8:
        description = exported.model.description.model_copy(update={"quantization": "int8"})
        with conversion(
            f"The model {model.record.model!r} cannot be written with 8-bit numbers",
            "Leave out --int8 for the float32 file alone, or try another release of onnxruntime.",
        ):
            small = quantized(exported.content, description.metadata(), images.train)
            measurements = [
                measure("float32", exported.content, exported.model, images.test),
                measure("int8", small, OnnxModel(small, name="the int8 model"), images.test),
            ]
        files[int8_path(out)] = small
    for path, content in files.items():
        write_bytes(path, content)
    return Export(tuple(files), exported.parity, tuple(measurements))


@dataclass(frozen=True)
class Export:
    """What an export wrote."""

    paths: tuple[Path, ...]
    """The files: float32 first, int8 second if it was asked for."""
    parity: Parity
    """Of the float32 file."""
    measurements: tuple[Measurement, ...]
    """Of each file; empty if there was nothing to compare."""


def int8_path(out: Path) -> Path:
    """Give the place of the int8 version of a file: ``model.onnx``, ``model.int8.onnx``."""
    return out.with_name(f"{out.stem}.int8{out.suffix}")


def checked_images(images: RealImages) -> Images:
    """Give those of some images that an exported model is checked with."""
    return spread(images.test.images, PARITY_IMAGES)


def foreign_files(folder: Path, own: Container[str]) -> str:
    """Name what is in a folder and was not written by an export to it; empty if there is nothing.

    Raises
    ------
    DataError
        If it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file. A folder is written; give another place.")
    there = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return ", ".join(sorted(name for name in there if name not in own)[:3])


def exported_model(model: PackagedModel, images: Images) -> ExportedModel:
    """Give the float32 ONNX file of a model, checked on some images.

    Raises
    ------
    ExportError
        If it does not give what the model gives, or the graph cannot be made.
    """
    need("onnx", extra="onnx")
    record = model.record
    network = model.network()
    unlike = None if model.unlike is None else UnlikeScore.from_bytes(model.unlike)
    description = describe(model, onnx=metadata.version("onnx"))
    with conversion(
        f"The model {record.model!r} cannot be written as an ONNX graph",
        "To export or serve, train another model (tenfold models lists them), or try another "
        "release of torch; tenfold predict takes this one as it is. --debug shows what the "
        "exporter said.",
    ):
        content = onnx_bytes(network, record.temperature, description, unlike=unlike)
        exported = OnnxModel(content, name="the exported model")
        parity = check_parity(exported, network, record.temperature, images)
    return ExportedModel(content, exported, parity)


def describe(model: PackagedModel, **versions: str) -> OnnxDescription:
    """Give what an exported file says of itself; `versions` are of what writes it."""
    record = model.record
    scores = record.scores
    promised = record.guarantees
    threshold = None
    if model.unlike is not None and promised is not None and promised.unlike is not None:
        threshold = promised.unlike.threshold
    sets = None if promised is None else promised.sets
    return OnnxDescription(
        title=record.title,
        model=record.model,
        classes=record.classes,
        image_shape=record.image_shape,
        value_ranges=record.value_ranges,
        temperature=record.temperature,
        accuracy=None if scores is None else scores.accuracy.value,
        test_count=None if scores is None else scores.count,
        unlike_threshold=threshold,
        on_test=None if promised is None else promised.on_test,
        prediction_sets=None if sets is None else sets.model_copy(update={"test": None}),
        versions=recorded_versions() | versions,
    )


@dataclass(frozen=True)
class ExportedModel:
    """A file's content and how it was checked."""

    content: bytes
    model: OnnxModel
    parity: Parity


class Predicts(Protocol):
    """An exported model in use."""

    def predict_many(self, images: AnyImages) -> npt.NDArray[np.float32]:
        """Give probabilities, shape (N, classes), of images (N, H, W, C)."""
        ...


def check_parity(
    model: Predicts,
    network: ImageNetwork,
    temperature: float | None,
    images: Images,
    *,
    runtime: str = "onnxruntime",
) -> Parity:
    """Compare an exported model with the network and temperature it was made of, in float32.

    `images` are uint8, shape (N, H, W, C).

    Raises
    ------
    ExportError
        If a probability differs by more than `TOLERANCE`.
    """
    expected = predict_probabilities(
        network, images, temperature, device=choose_device("cpu"), precision=torch.float32
    )
    received = model.predict_many(images)
    difference = float(np.abs(expected - received).max(initial=0.0))
    parity = Parity(
        count=len(images),
        largest_difference=difference,
        changed=int((expected.argmax(1) != received.argmax(1)).sum()),
    )
    if not difference <= TOLERANCE:  # NaN too
        raise ExportError(
            f"The exported model does not give what the model gives: on {parity.count:,} images a "
            f"probability differs by up to {difference:.2g} (allowed: {TOLERANCE:g}), and "
            f"{parity.changed:,} images get another class. Nothing was written. Please report "
            f"this with the model's settings; another version of torch or {runtime} may do."
        )
    return parity


@dataclass(frozen=True)
class Parity:
    """How far apart two ways to compute the same are."""

    count: int
    """Images asked about."""
    largest_difference: float
    """Of any probability of any image."""
    changed: int
    """Images whose most probable class is another."""


def measure(name: str, content: bytes, model: OnnxModel, test: ImageSplit) -> Measurement:
    """Measure a model on a test split."""
    predicted = model.predict_many(test.images).argmax(1)
    one = np.ascontiguousarray(test.images[:1])
    block = np.ascontiguousarray(
        np.resize(test.images[:BATCH_SIZE], (BATCH_SIZE, *test.images.shape[1:]))
    )
    return Measurement(
        name=name,
        size_bytes=len(content),
        accuracy=float((predicted == test.labels).mean()),
        image_seconds=_median_seconds(model, one),
        images_per_second=BATCH_SIZE / _median_seconds(model, block),
    )


def _median_seconds(model: OnnxModel, images: Images) -> float:
    model.predict(images)
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < _TIMED_RUNS and time.perf_counter() - began < _MOST_TIMED_SECONDS:
        start = time.perf_counter()
        model.predict(images)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@dataclass(frozen=True)
class Measurement:
    """What was measured of one file."""

    name: str
    """``float32`` or ``int8``."""
    size_bytes: int
    accuracy: float
    """On the test images."""
    image_seconds: float
    """Median time for one image alone."""
    images_per_second: float
    """With many images at once."""


def parity_text(parity: Parity, place: str) -> str:
    """Give the check's result; `place` says where the images are from."""
    return (
        f"Checked against PyTorch on {parity.count:,} images of {place}: probabilities differ by "
        f"at most {parity.largest_difference:.1e}; {parity.changed:,} images get another class."
    )


def export_text(export: Export, place: str) -> str:
    """Give the check's result, the measurements if there are any, and the files.

    `place` says where the images are from.
    """
    lines = [parity_text(export.parity, place)]
    if export.measurements:
        lines += ["", *_table(export.measurements), ""]
    lines += [f"Written: {path}" for path in export.paths]
    return "\n".join(lines)


def _table(measurements: tuple[Measurement, ...]) -> list[str]:
    return [
        f"{'':10}{'size':>10}{'accuracy':>11}{'one image':>12}{'many images':>14}",
        *(
            f"{one.name:10}{one.size_bytes / 1e6:>7.2f} MB{one.accuracy:>11.2%}"
            f"{one.image_seconds * 1e3:>9.2f} ms{one.images_per_second:>12,.0f}/s"
            for one in measurements
        ),
    ]


@dataclass(frozen=True)
class RealImages:
    """Images that a model can take."""

    train: AnyImages
    """uint8, shape (N, H, W, C): what an 8-bit version is fitted to."""
    test: ImageSplit
    """Labels as the model counts classes: what accuracies are measured on."""
    place: str
    """Where they are from, for people."""


def images_for(path: Path, data: str | None, model: ModelRecord) -> RealImages:
    """Give the images of ``--data``, or of the study that a model lies in.

    Raises
    ------
    DataError
        If there are none.
    """
    if data is not None:
        return _images_of_data(data, model)
    images = _images_of_run(path, model)
    if images is None:
        raise DataError(
            f"{path} lies in no run folder, so there are no real images to check the exported file "
            "with. Say where some are: --data NAME or --data PATH (the data set that the model was "
            "trained on, or images of the same classes)."
        )
    return images


def _images_of_run(path: Path, model: ModelRecord) -> RealImages | None:
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


def _images_of_data(data: str, model: ModelRecord) -> RealImages:
    """Read a data set, a source's name or a path, as a model sees it.

    Raises
    ------
    DataError
        If it cannot be read, has other classes, or its images cannot be brought to the shape.
    """
    classes, image_shape = model.classes, model.image_shape
    source, path, _ = find_source(data)
    options = SourceOptions(image_size_px=image_shape[0], value_ranges=model.value_ranges)
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
