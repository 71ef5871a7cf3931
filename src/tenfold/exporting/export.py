"""Export a model: the graph, its check against PyTorch, and what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tenfold.core.errors import need
from tenfold.core.files import write_bytes
from tenfold.core.run_folder import recorded_versions
from tenfold.data.dataset import Images
from tenfold.exporting.conversion import conversion
from tenfold.exporting.measuring import Measurement, measure
from tenfold.exporting.onnx_description import OnnxDescription
from tenfold.exporting.onnx_graph import onnx_bytes
from tenfold.exporting.onnx_model import OnnxModel
from tenfold.exporting.parity import Parity, check_parity
from tenfold.exporting.quantization import quantized
from tenfold.exporting.real_images import RealImages, spread
from tenfold.training.model_folder import PackagedModel

PARITY_IMAGES = 1000
"""Images that the exported file and PyTorch both compute: seconds, even for large networks."""


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
