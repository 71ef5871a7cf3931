"""The models of a cross-validation's fresh folds: they know neither the test split nor their fold.

Together they are better judges of a label than any one of them, whose own confident mistakes the
others do not share (Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation
using deep ensembles", NeurIPS 2017, arXiv 1612.01474).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch

from tenfold.core.errors import RunFolderError
from tenfold.core.records.data import AcquireRecord
from tenfold.models.model import ImageNetwork, NetworkPlan
from tenfold.training.checkpoint import read_tensors, write_tensors
from tenfold.training.fit import FittedNetwork

_PLAN = "plan"


def write_fold_model(folder: Path, fold: int, fitted: FittedNetwork) -> None:
    """Write the model of one fold, counted from 1, and how it is built."""
    plan = {"model": fitted.plan.model, "settings": fitted.plan.settings.plain()}
    write_tensors(_path(folder, fold), fitted.network.state_dict(), {_PLAN: json.dumps(plan)})


def read_fold_models(folder: Path, folds: int, acquired: AcquireRecord) -> Iterator[ImageNetwork]:
    """Give the network of each fold, one after the other, in evaluation mode.

    Raises
    ------
    RunFolderError
        If a file is missing or damaged.
    """
    for fold in range(1, folds + 1):
        path = _path(folder, fold)
        weights, metadata = read_tensors(path, torch.device("cpu"))
        try:
            stored = json.loads(metadata[_PLAN])
            plan = NetworkPlan.parse(
                stored["model"],
                stored["settings"],
                image_shape=acquired.image_shape,
                class_count=len(acquired.classes),
            )
            network = plan.restore(weights)
        except (KeyError, ValueError, RuntimeError) as error:
            raise RunFolderError(
                f"{path} does not hold the network of a fold ({error}). It was changed by hand or "
                "written by another version; use another --out."
            ) from error
        yield network.eval()


def _path(folder: Path, fold: int) -> Path:
    return folder / f"weights_fold_{fold}.safetensors"
