"""A folder as the Hugging Face Hub takes it, which is a model folder too.

Its model card begins with the metadata that the Hub reads
(https://huggingface.co/docs/hub/model-cards), written as JSON, which is YAML.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.files import write_bytes
from tenfold.core.records.training import Measure, ModelRecord
from tenfold.serving.export import (
    Parity,
    RealImages,
    checked_images,
    exported_model,
    foreign_files,
    parity_text,
)
from tenfold.training.model_folder import PackagedModel, save_model

ONNX_FILE = "model.onnx"
_OWN = {"README.md", "model.json", "weights.safetensors", "unlike.safetensors", ONNX_FILE}
_DATASETS = {"cifar10": "uoft-cs/cifar10", "cifar100": "uoft-cs/cifar100", "mnist": "ylecun/mnist"}
_METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced accuracy"),
    "macro_f1": ("f1", "F1, mean over the classes"),
    "log_loss": ("log_loss", "Log loss"),
    "expected_calibration_error": ("expected_calibration_error", "Expected calibration error"),
}
"""The Hub's type and the name of each score."""
_THUMBNAILS = re.compile(r"^This folder holds .* as thumbnails.*\n\n?", re.MULTILINE)


@dataclass(frozen=True)
class HubExport:
    """What was written."""

    folder: Path
    parity: Parity


def export_hub(
    model: PackagedModel, folder: Path, images: RealImages, *, licence: str = "unknown"
) -> HubExport:
    """Write a model folder with an ONNX file and the Hub's metadata, without training images.

    Parameters
    ----------
    folder
        New, empty, or of an earlier export, which is replaced.
    images
        To check the exported model with.
    licence
        The Hub's identifier, for example ``apache-2.0``.

    Raises
    ------
    DataError
        If something else is in the folder.
    ExportError
        If what was exported does not give what the model gives.
    """
    others = foreign_files(folder, _OWN)
    if not others and (folder / "model.json").exists() and not (folder / ONNX_FILE).exists():
        others = "a model folder that --hub did not write"
    if others:
        raise DataError(
            f"{folder} holds other things ({others}), which --hub would replace. Give a new "
            "folder, and copy what is in it into a clone of the repository."
        )
    exported = exported_model(model, checked_images(images))
    card = hub_header(model.record, licence) + _THUMBNAILS.sub("", model.card)
    # Pictures of the training images are nobody's to publish unasked.
    save_model(folder, replace(model, card=card, neighbours=None))
    write_bytes(folder / ONNX_FILE, exported.content)
    return HubExport(folder, exported.parity)


def hub_header(record: ModelRecord, licence: str) -> str:
    """Give the metadata block that a model card on the Hub begins with."""
    metadata: dict[str, Any] = {
        "license": licence,
        "library_name": "tenfold",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "tenfold", "onnx", "safetensors", record.model],
    }
    dataset = _DATASETS.get(record.data.source)
    if dataset is not None:
        metadata["datasets"] = [dataset]
    if record.scores is not None:
        metadata["metrics"] = [kind for kind, _ in _METRICS.values()]
        metadata["model-index"] = [
            {
                "name": record.title,
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Image classification"},
                        "dataset": {
                            "name": f"{record.data.title}, {record.scores.count:,} test images",
                            "type": dataset or "imagefolder",
                            "split": "test",
                        },
                        "metrics": [
                            _metric(kind, name, getattr(record.scores, score))
                            for score, (kind, name) in _METRICS.items()
                        ],
                    }
                ],
            }
        ]
    lines = [f"{key}: {json.dumps(value, allow_nan=False)}" for key, value in metadata.items()]
    return "\n".join(("---", *lines, "---", "", ""))


def _metric(kind: str, name: str, measure: Measure) -> dict[str, Any]:
    if measure.interval is not None:
        name = f"{name} (95% interval {measure.interval.low:.3f} to {measure.interval.high:.3f})"
    return {"type": kind, "name": name, "value": round(measure.value, 4)}


def hub_text(export: HubExport, place: str) -> str:
    """Give the check's result and what to do next; `place` is where images are from."""
    return "\n".join(
        (
            parity_text(export.parity, place),
            f"Written: {export.folder}, without training images. To publish it: hf upload "
            f"YOU/NAME {export.folder}",
        )
    )
