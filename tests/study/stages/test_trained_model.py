"""The trained model as it lies in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tenfold.core.errors import RunFolderError
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.training import TrainRecord
from tenfold.models.model import ImageNetwork, NetworkPlan
from tenfold.study.stages.stage import BEST_WEIGHTS, LAST_WEIGHTS, TrainedModel
from tenfold.training.tensors import write_tensors

ACQUIRED = AcquireRecord(
    source="folder",
    location="photos",
    title="Photos",
    description="",
    classes=("cat", "dog", "owl"),
    image_size_px=(8, 10),
    channels=1,
    train_counts=(3, 3, 3),
    test_counts=(1, 1, 1),
    split_note="",
    mirror_keeps_class=True,
    resized=0,
    left_out=(),
    notes=(),
    train_sha256="",
    test_sha256="",
)
PLAN = NetworkPlan.parse(
    "cnn", {"conv_layers": 1, "filters": [4], "units": 5}, image_shape=(8, 10, 1), class_count=3
)


def network(seed: int) -> ImageNetwork:
    return PLAN.build(seed=seed, mean=torch.tensor([90.0]), standard_deviation=torch.tensor([50.0]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give what the train stage leaves: the last weights of seed 1, the best of seed 2."""
    write_tensors(tmp_path / LAST_WEIGHTS, network(1).state_dict(), {})
    write_tensors(tmp_path / BEST_WEIGHTS, network(2).state_dict(), {})
    write_record(tmp_path)
    return tmp_path


def write_record(folder: Path, **changes: Any) -> None:
    values: dict[str, Any] = {
        "model": "cnn",
        "model_settings": PLAN.settings.plain(),
        "optimizer": "adam",
        "learning_rate": 0.001,
        "batch_size": 8,
        "epochs": 1,
        "augmentation": "none",
        "normalization": "standardize",
        "train_count": 9,
        "validation_count": 0,
        "history": (),
        "best_epoch": None,
        "chosen_weights": "last",
        "layers": (),
        "parameter_count": 0,
        "device": "",
        "precision": "float32",
        "threads": 1,
        "seconds": 0.0,
    }
    TrainRecord(**{**values, **changes}).write(folder / "record.json")


@pytest.mark.parametrize(("chosen", "seed"), [("last", 1), ("best", 2)])
def test_the_chosen_weights_are_read(chosen: str, seed: int, folder: Path) -> None:
    write_record(folder, chosen_weights=chosen)
    trained = TrainedModel.read(folder, ACQUIRED)
    assert trained.weights_name == chosen
    assert trained.plan == PLAN
    restored = trained.network()
    assert not restored.training
    pixels = torch.randint(0, 256, (2, 1, 8, 10), dtype=torch.uint8)
    assert torch.equal(restored(pixels), network(seed).eval()(pixels))


def test_every_network_is_its_own(folder: Path) -> None:
    trained = TrainedModel.read(folder, ACQUIRED)
    first = trained.network()
    torch.nn.init.zeros_(first.mean)
    assert trained.network().mean.item() == 90


@pytest.mark.parametrize("name", ["record.json", LAST_WEIGHTS])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(RunFolderError) as caught:
        TrainedModel.read(folder, ACQUIRED)
    assert str(folder / name) in str(caught.value)
    assert "run the" in str(caught.value).lower()


@pytest.mark.parametrize("name", ["record.json", LAST_WEIGHTS])
def test_a_damaged_file_is_named(name: str, folder: Path) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RunFolderError) as caught:
        TrainedModel.read(folder, ACQUIRED)
    assert str(path) in str(caught.value)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    write_record(folder, model_settings={"conv_layers": 1, "filters": [4], "units": 6})
    with pytest.raises(RunFolderError, match="not hold the weights of the network") as caught:
        TrainedModel.read(folder, ACQUIRED)
    assert str(folder / LAST_WEIGHTS) in str(caught.value)
