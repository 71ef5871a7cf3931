"""A finished model as a folder: written whole, checked when read.

::

    MODEL/
    ├── model.json               settings, classes, temperature, scores, hashes (`ModelRecord`)
    ├── weights.safetensors      the network's tensors, normalisation included
    ├── neighbours.safetensors   some training images as thumbnails and features; optional
    ├── unlike.safetensors       what tells images unlike the training's; optional
    └── README.md                the model card

Every byte is checked when a folder is read: the files by the hashes in ``model.json``, and that by
its own. Nothing is pickled. Other files in the folder are not looked at.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tenfold.core.errors import ModelFolderError, RunFolderError, TenfoldError
from tenfold.core.files import (
    MOST_MODEL_BYTES,
    read_regular_file,
    recover_folder,
    replace_folder,
    sha256_of_bytes,
    storage_errors,
    write_bytes,
)
from tenfold.core.records.data import ValueRanges
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.core.records.guarantees import GuaranteesRecord
from tenfold.core.records.training import (
    FORMAT_VERSION,
    Measure,
    ModelData,
    ModelRecord,
    ModelScores,
)
from tenfold.core.run_folder import RunFolder, recorded_versions
from tenfold.data.dataset import ImageSplit
from tenfold.models.model import ImageNetwork, NetworkPlan
from tenfold.training.settings import Precision, TrainingSettings

MODEL_JSON = "model.json"
WEIGHTS = "weights.safetensors"
NEIGHBOURS = "neighbours.safetensors"
UNLIKE = "unlike.safetensors"
CARD = "README.md"
MODEL_FOLDER = "model"
"""Name of the model folder in a run folder."""

_ALWAYS_THERE = frozenset({WEIGHTS, CARD})
_KNOWN_FILES = _ALWAYS_THERE | {NEIGHBOURS, UNLIKE}
_NO_DIGEST = "0" * 64
_MAKE_AGAIN = "copy the folder again, or make it again with: tenfold model --out RUN_FOLDER"
_NO_RANGES = ValueRanges()


@dataclass(frozen=True, eq=False)
class PackagedModel:
    """A model as it lies in a model folder.

    Parameters
    ----------
    record
        What ``model.json`` says; `files` and `digest` are filled in when it is written.
    weights
        The network's tensors by name, normalisation included, on the CPU.
    card
        The model card, Markdown.
    neighbours
        Content of the file of training images; None without one.
    unlike
        Content of the file of `tenfold.evaluation.unlike.UnlikeScore`; None without one.
    """

    record: ModelRecord
    weights: dict[str, Tensor]
    card: str
    neighbours: bytes | None = None
    unlike: bytes | None = None

    @property
    def plan(self) -> NetworkPlan:
        """Give how the network is built."""
        return NetworkPlan.parse(
            self.record.model,
            self.record.model_settings,
            image_shape=self.record.image_shape,
            class_count=len(self.record.classes),
        )

    def network(self) -> ImageNetwork:
        """Build the network with its weights in, in evaluation mode.

        Raises
        ------
        ModelFolderError
            If the weights are not those of the recorded network.
        """
        try:
            network = self.plan.restore(self.weights).eval()
            for name, tensor in network.state_dict().items():
                if self.weights[name].dtype != tensor.dtype:  # torch would convert it unasked
                    raise ValueError(
                        f"{name} is {self.weights[name].dtype} instead of {tensor.dtype}."
                    )
            return network
        except (TenfoldError, RuntimeError, ValueError, TypeError) as error:
            raise ModelFolderError(
                f"The weights do not fit the network that {MODEL_JSON} describes: {error} "
                "Make the folder again, or update tenfold if it was made by a newer one."
            ) from error


def read_model_folder(path: Path) -> PackagedModel:
    """Read a model folder, or the one of a run folder, and check every byte of it.

    Raises
    ------
    ModelFolderError
        If there is none, a file is missing or was changed, or a newer tenfold wrote it.
    """
    folder = model_folder_in(path)
    record = parse_model_json(_read(folder / MODEL_JSON), folder / MODEL_JSON)
    contents = {name: _read(folder / name) for name in record.files}
    for name, content in contents.items():
        if sha256_of_bytes(content) != record.files[name]:
            raise _changed(folder / name)
    try:
        weights = load(contents[WEIGHTS])
        card = contents[CARD].decode()
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ModelFolderError(
            f"{folder} holds files that its own {MODEL_JSON} names but that cannot be read "
            f"({error}). It was not made by tenfold; make it again."
        ) from error
    _check_finite(weights, folder)
    return PackagedModel(record, weights, card, contents.get(NEIGHBOURS), contents.get(UNLIKE))


def model_folder_in(path: Path) -> Path:
    """Give the model folder that a path means: itself, or that of a run folder.

    Raises
    ------
    ModelFolderError
        If there is none.
    """
    try:
        if (path / MODEL_JSON).is_file():
            return path
        if (path / MODEL_FOLDER / MODEL_JSON).is_file():
            return path / MODEL_FOLDER
        is_study, is_there = (path / "settings.json").is_file(), path.exists()
    except OSError as error:
        raise ModelFolderError(f"{path} cannot be read: {error.strerror or error}.") from None
    if is_study:
        raise ModelFolderError(
            f"The study in {path} has no model folder yet. Make it: tenfold model --out {path}"
        )
    if not is_there:
        raise ModelFolderError(f"There is no model at {path}: no such file or folder.")
    raise ModelFolderError(
        f"{path} is no model folder: it has no {MODEL_JSON}. Give a folder that "
        "ImageClassifier.save made, or the run folder of a study."
    )


def parse_model_json(content: bytes, path: Path) -> ModelRecord:
    """Give what a ``model.json`` says.

    Parameters
    ----------
    content
        The file's bytes.
    path
        For messages.

    Raises
    ------
    ModelFolderError
        If a newer tenfold wrote it, a byte of it was changed, or it is something else.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(
            f"{path} is not readable JSON ({error}). It was changed or damaged; {_MAKE_AGAIN}."
        ) from None
    version = values.get("format_version") if isinstance(values, dict) else None
    # Not isinstance: True is an int.
    if type(version) is int and version > FORMAT_VERSION:
        raise ModelFolderError(
            f"{path} has format {version}, which a newer tenfold wrote; this one reads formats up "
            f"to {FORMAT_VERSION}. Update tenfold: pip install --upgrade tenfold."
        )
    try:
        record = ModelRecord.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ModelFolderError(
            f"{path} does not describe a model ({error.error_count()} errors, the first at "
            f"{where}: {first['msg']}). It was changed or damaged; {_MAKE_AGAIN}."
        ) from None
    undigested = content.replace(record.digest.encode(), _NO_DIGEST.encode(), 1)
    if sha256_of_bytes(undigested) != record.digest:
        raise _changed(path)
    if not _ALWAYS_THERE <= set(record.files) <= _KNOWN_FILES or record.format_version < 1:
        raise ModelFolderError(
            f"{path} names other files than a model folder has: {', '.join(record.files)}. "
            f"Expected {', '.join(sorted(_KNOWN_FILES))}; {_MAKE_AGAIN}."
        )
    return record


def _read(path: Path) -> bytes:
    try:
        return read_regular_file(path, MOST_MODEL_BYTES)
    except FileNotFoundError:
        raise ModelFolderError(f"{path} is missing; {_MAKE_AGAIN}.") from None
    except OSError as error:
        raise ModelFolderError(f"{path} cannot be read: {error.strerror or error}.") from None


def _changed(path: Path) -> ModelFolderError:
    own_notes = " Notes of your own belong into a file of their own." if path.name == CARD else ""
    return ModelFolderError(
        f"{path} is not as it was written: its SHA-256 is another. It was changed or damaged; "
        f"{_MAKE_AGAIN}.{own_notes}"
    )


def _check_finite(weights: Mapping[str, Tensor], folder: Path) -> None:
    network_types = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    for name, tensor in weights.items():
        # Rarer types, which torch cannot ask, are no network's of ours: `network` refuses them.
        if tensor.dtype in network_types and not bool(torch.isfinite(tensor).all()):
            raise ModelFolderError(
                f"The weights in {folder} are not finite ({name} holds NaN or infinity), so that "
                "the model could predict nothing. Its training went wrong: train it again with a "
                "lower learning rate."
            )


def outdated_notice(path: Path) -> str | None:
    """Say if a model is of earlier data or settings than the rest of its study; None if it is not.

    It works all the same: a model folder needs nothing else of the run folder.
    """
    folder = path.absolute()
    run = folder.parent if folder.name == MODEL_FOLDER else folder
    try:
        is_outdated = MODEL_FOLDER in RunFolder(run).outdated()
    except (RunFolderError, OSError):  # of no concern to who uses the model
        return None
    if not is_outdated:
        return None
    return (
        "This model is of earlier data or settings than its study has by now. It works as it is; "
        f"to bring it up to date: tenfold run --out {shlex.quote(str(run))}"
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


def write_model_folder(folder: Path, model: PackagedModel) -> None:
    """Write a model's files into a folder, ``model.json`` last.

    Raises
    ------
    StorageError
        If the disk is full, read-only or not permitted.
    """
    tensors = {name: one.detach().contiguous().cpu() for name, one in model.weights.items()}
    contents = {WEIGHTS: save(tensors), CARD: model.card.encode()}
    if model.neighbours is not None:
        contents[NEIGHBOURS] = model.neighbours
    if model.unlike is not None:
        contents[UNLIKE] = model.unlike
    for name, content in contents.items():
        write_bytes(folder / name, content)
    hashes = {name: sha256_of_bytes(content) for name, content in sorted(contents.items())}
    record = model.record.model_copy(update={"files": hashes, "digest": _NO_DIGEST})
    text = record.model_dump_json(indent=2) + "\n"
    digest = sha256_of_bytes(text.encode())
    write_bytes(folder / MODEL_JSON, text.replace(_NO_DIGEST, digest, 1).encode())


def describe_model(
    *,
    title: str,
    plan: NetworkPlan,
    weights: Mapping[str, Tensor],
    training: TrainingSettings,
    classes: tuple[str, ...],
    labels: tuple[bool | int | float | str, ...] | None = None,
    temperature: float | None,
    precision: Precision,
    mirror_keeps_class: bool,
    value_ranges: ValueRanges = _NO_RANGES,
    data: ModelData,
    scores: ModelScores | None = None,
    guarantees: GuaranteesRecord | None = None,
) -> ModelRecord:
    """Give what a model folder's ``model.json`` says; see `ModelRecord` for the parts."""
    mean, scale = (weights[name].flatten().double() for name in ("mean", "scale"))
    values: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "digest": _NO_DIGEST,
        "files": {},
        "title": title,
        "model": plan.model,
        "model_settings": plan.settings.plain(),
        "training": training.result_settings(),
        "image_shape": plan.image_shape,
        "normalization_mean": tuple(mean.tolist()),
        "normalization_standard_deviation": tuple((1 / scale).tolist()),
        "classes": classes,
        "labels": labels,
        "temperature": temperature,
        "precision": precision,
        "mirror_keeps_class": mirror_keeps_class,
        "value_ranges": value_ranges,
        "data": data,
        "scores": scores,
        "guarantees": guarantees,
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
