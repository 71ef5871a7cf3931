"""The folds' models, kept for the audit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.errors import RunFolderError
from tenfold.core.records.data import AcquireRecord
from tenfold.data.dataset import read_arrays, read_split
from tenfold.study.recipe import StudySettings
from tenfold.study.stages.stage import read_fold_models
from tenfold.study.study import Study
from tenfold.training.device import Device
from tenfold.training.inference import predict_logits, probabilities_from_logits


@pytest.fixture
def folder(tiny_settings: Callable[..., StudySettings], tmp_path: Path) -> Path:
    """Give the folder of a complete cross-validation of two folds, both protocols."""
    changes = {"tune.is_enabled": False, "cross_validate.protocols": ["fresh", "warm-start"]}
    list(Study(tiny_settings(changes), tmp_path / "run").run("cross-validate"))
    return tmp_path / "run" / "cross-validate"


def acquired(folder: Path) -> AcquireRecord:
    return AcquireRecord.read(folder.parent / "acquire" / "record.json")


def test_each_predicts_its_own_fold_as_it_did(folder: Path) -> None:
    stored = read_arrays(folder / "out_of_fold_fresh.npz")
    images = read_split(folder.parent / "acquire", "train").images
    networks = list(read_fold_models(folder, 2, acquired(folder)))
    for fold, network in enumerate(networks, start=1):
        own = stored["fold"] == fold
        logits = predict_logits(network, images[own], device=Device("cpu", "test", 1))
        np.testing.assert_allclose(
            probabilities_from_logits(logits), stored["probabilities"][own], atol=1e-5
        )
    assert len(list(folder.glob("*.safetensors"))) == 2  # none of the protocol that leaks


def test_a_damaged_file_is_named(folder: Path) -> None:
    path = folder / "weights_fold_2.safetensors"
    other = folder.parent / "train" / "weights_last.safetensors"
    path.write_bytes(other.read_bytes())
    with pytest.raises(RunFolderError, match=r"weights_fold_2.* does not hold the network"):
        list(read_fold_models(folder, 2, acquired(folder)))
    path.unlink()
    with pytest.raises(RunFolderError, match="missing or damaged"):
        list(read_fold_models(folder, 2, acquired(folder)))
