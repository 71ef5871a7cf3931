"""Export: the model as one file that answers alike, proved on real images."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from tenfold.core.errors import ExportError, need
from tenfold.core.files import write_bytes
from tenfold.core.run_folder import recorded_versions
from tenfold.data.dataset import Images
from tenfold.models.model import ImageNetwork
from tenfold.serving.onnx_graph import RealImages, conversion, onnx_bytes, quantized, spread
from tenfold.serving.onnx_model import Measurement, OnnxDescription, OnnxModel, measure
from tenfold.training.device import choose_device
from tenfold.training.model_folder import PackagedModel
from tenfold.training.temperature import predict_probabilities

PARITY_IMAGES = 1000
"""Images that the exported file and PyTorch both compute: seconds, even for large networks."""


@dataclass(frozen=True)
class Parity:
    """How far apart two ways to compute the same are."""

    count: int
    """Images asked about."""
    largest_difference: float
    """Of any probability of any image."""
    changed: int
    """Images whose most probable class is another."""


@dataclass(frozen=True)
class ExportedModel:
    """A file's content and how it was checked."""

    content: bytes
    model: OnnxModel
    parity: Parity


@dataclass(frozen=True)
class Export:
    """What an export wrote."""

    paths: tuple[Path, ...]
    """The files: float32 first, int8 second if it was asked for."""
    parity: Parity
    """Of the float32 file."""
    measurements: tuple[Measurement, ...]
    """Of each file; empty if there was nothing to compare."""


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
    exported = exported_model(model, spread(images.test.images, PARITY_IMAGES))
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
    scores = record.scores
    description = OnnxDescription(
        title=record.title,
        model=record.model,
        classes=record.classes,
        image_shape=record.image_shape,
        value_ranges=record.value_ranges,
        temperature=record.temperature,
        accuracy=None if scores is None else scores.accuracy.value,
        test_count=None if scores is None else scores.count,
        versions=recorded_versions() | {"onnx": metadata.version("onnx")},
    )
    with conversion(
        f"The model {record.model!r} cannot be written as an ONNX graph",
        "To export or serve, train another model (tenfold models lists them), or try another "
        "release of torch; tenfold predict takes this one as it is. --debug shows what the "
        "exporter said.",
    ):
        content = onnx_bytes(network, record.temperature, description)
        exported = OnnxModel(content, name="the exported model")
        parity = check_parity(exported, network, record.temperature, images)
    return ExportedModel(content, exported, parity)


def int8_path(out: Path) -> Path:
    """Give the place of the int8 version of a file: ``model.onnx``, ``model.int8.onnx``."""
    return out.with_name(f"{out.stem}.int8{out.suffix}")


def export_text(export: Export, place: str) -> str:
    """Give the check's result, the measurements if there are any, and the files.

    `place` says where the images are from.
    """
    parity = export.parity
    lines = [
        f"Checked against PyTorch on {parity.count:,} images of {place}: probabilities differ by "
        f"at most {parity.largest_difference:.1e}; {parity.changed:,} images get another class."
    ]
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


TOLERANCE = 1e-4
"""Largest difference of a probability. Both compute in float32 but add up in other orders, which
gives some 1e-6; a forgotten step of the preprocessing gives 0.1."""


def check_parity(
    model: OnnxModel, network: ImageNetwork, temperature: float | None, images: Images
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
            "this with the model's settings; another version of torch or onnxruntime may do."
        )
    return parity
