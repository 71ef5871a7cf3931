"""Put a trained model and what is known about it into the form of a model folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from tenfold.core.errors import ModelFolderError
from tenfold.core.files import recover_folder, replace_folder, storage_errors
from tenfold.core.records.data import ValueRanges
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.core.records.training import (
    FORMAT_VERSION,
    Measure,
    ModelData,
    ModelRecord,
    ModelScores,
)
from tenfold.core.run_folder import recorded_versions
from tenfold.data.dataset import ImageSplit
from tenfold.engine.training_settings import TrainingSettings
from tenfold.model_folder import MODEL_JSON, PackagedModel, normalization_of, write_model_folder
from tenfold.models.model import NetworkPlan

_NO_RANGES = ValueRanges()


def describe_model(
    *,
    title: str,
    plan: NetworkPlan,
    weights: Mapping[str, Tensor],
    training: TrainingSettings,
    classes: tuple[str, ...],
    labels: tuple[bool | int | float | str, ...] | None = None,
    temperature: float | None,
    precision: Literal["float32", "bfloat16"],
    mirror_keeps_class: bool,
    value_ranges: ValueRanges = _NO_RANGES,
    data: ModelData,
    scores: ModelScores | None = None,
) -> ModelRecord:
    """Give what a model folder's ``model.json`` says; see `ModelRecord` for the parts."""
    mean, deviation = normalization_of(weights)
    values: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "digest": "0" * 64,
        "files": {},
        "title": title,
        "model": plan.model,
        "model_settings": plan.settings.plain(),
        "training": training.result_settings(),
        "image_shape": plan.image_shape,
        "normalization_mean": mean,
        "normalization_standard_deviation": deviation,
        "classes": classes,
        "labels": labels,
        "temperature": temperature,
        "precision": precision,
        "mirror_keeps_class": mirror_keeps_class,
        "value_ranges": value_ranges,
        "data": data,
        "scores": scores,
        "versions": recorded_versions(),
    }
    return ModelRecord(**values)


def describe_arrays(split: ImageSplit, class_count: int) -> ModelData:
    """Give what is known about a training split that no source gave."""
    return ModelData(
        title="Given arrays",
        source="arrays",
        description="",
        train_counts=split.counts(class_count),
        test_counts=(),
        train_sha256=split.sha256(),
        test_sha256=None,
    )


def scores_of(evaluate: EvaluateRecord) -> ModelScores:
    """Give the headline of a test split's scores."""
    scores, intervals = evaluate.scores, evaluate.intervals
    return ModelScores(
        count=scores.count,
        accuracy=Measure(value=scores.accuracy, interval=intervals.accuracy),
        balanced_accuracy=Measure(
            value=scores.balanced_accuracy, interval=intervals.balanced_accuracy
        ),
        macro_f1=Measure(value=scores.macro_f1, interval=intervals.macro_f1),
        log_loss=Measure(value=scores.log_loss, interval=None),
        expected_calibration_error=Measure(
            value=evaluate.calibration.after.expected_calibration_error, interval=None
        ),
    )


def save_model(path: Path, model: PackagedModel) -> None:
    """Write a model folder at a path, whole or not at all.

    A model folder that is there is replaced; anything else stays.

    Raises
    ------
    ModelFolderError
        If something else than a model folder is there.
    StorageError
        If the disk is full, read-only or not permitted.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path.absolute()
    partial = path.with_name(f".{path.name}.partial")
    with storage_errors(path):
        recover_folder(path)
        is_there = path.exists()
        if is_there and not path.is_dir():
            raise ModelFolderError(f"{path} is a file. A model is saved as a folder; give another.")
        if is_there and any(path.iterdir()) and not (path / MODEL_JSON).is_file():
            raise ModelFolderError(
                f"{path} is not empty and holds no model, so nothing is written there. Give "
                "another folder."
            )
        if partial.exists():
            shutil.rmtree(partial)
        write_model_folder(partial, model)
        replace_folder(partial, path)
