"""Weights, history and record of one training."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tenfold.core.records.training import TrainRecord
from tenfold.core.records.tuning import TuneRecord
from tenfold.study.stages.stage import TEMPERATURE
from tenfold.training.tensors import read_tensors

RunStage = Callable[..., Path]
CPU = torch.device("cpu")
NO_SEARCH = {"tune.is_enabled": False}


def test_leaves_weights_history_and_record(run_stage: RunStage) -> None:
    folder = run_stage("train", NO_SEARCH | {"training.epochs": 3})
    record = TrainRecord.read(folder / "record.json")
    weights, _ = read_tensors(folder / "weights_last.safetensors", CPU)
    assert record.parameter_count == sum(layer.parameters for layer in record.layers)
    assert record.parameter_count <= sum(tensor.numel() for tensor in weights.values())
    assert (record.train_count, record.validation_count) == (27, 3)
    assert [epoch.epoch for epoch in record.history] == [1, 2, 3]
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train_loss"]) for row in rows] == [
        epoch.train_loss for epoch in record.history
    ]


def test_takes_the_values_that_the_search_found(run_stage: RunStage) -> None:
    folder = run_stage("train")
    best = TuneRecord.read(folder.parent / "tune" / "record.json").best_parameters
    record = TrainRecord.read(folder / "record.json")
    assert record.model_settings["units"] == best["model.units"] != 4


def test_the_best_epoch_is_the_first_of_the_highest_validation_accuracy(
    run_stage: RunStage,
) -> None:
    folder = run_stage(
        "train",
        NO_SEARCH
        | {
            "training.epochs": 6,
            "training.weights": "best",
            "training.validation_fraction": 0.4,
            "training.learning_rate": 0.05,
        },
    )
    record = TrainRecord.read(folder / "record.json")
    accuracies = [epoch.validation_accuracy or 0.0 for epoch in record.history]
    assert record.best_epoch == accuracies.index(max(accuracies)) + 1
    assert record.chosen_weights == "best"


def test_without_validation_there_is_no_best_epoch(run_stage: RunStage) -> None:
    folder = run_stage(
        "train", NO_SEARCH | {"training.validation_fraction": 0, "training.weights": "best"}
    )
    record = TrainRecord.read(folder / "record.json")
    assert (record.best_epoch, record.chosen_weights) == (None, "last")
    assert record.history[-1].validation_accuracy is None
    assert not (folder / "weights_best.safetensors").exists()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    run_stage: RunStage, tmp_path: Path
) -> None:
    weights = [
        (
            run_stage("train", NO_SEARCH | {"seed": seed}, out=tmp_path / name)
            / "weights_last.safetensors"
        ).read_bytes()
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_epochs_of_training_lower_the_loss(run_stage: RunStage) -> None:
    folder = run_stage(
        "train",
        NO_SEARCH | {"training.epochs": 15, "model.units": 16, "training.learning_rate": 0.02},
    )
    history = TrainRecord.read(folder / "record.json").history
    assert history[-1].train_loss < 0.8 * history[0].train_loss
    assert history[-1].train_loss == pytest.approx(min(e.train_loss for e in history), rel=0.3)


def test_the_temperature_is_stored_with_the_chosen_weights(run_stage: RunStage) -> None:
    folder = run_stage("train", NO_SEARCH | {"training.weights": "best"})
    record = TrainRecord.read(folder / "record.json")
    assert record.temperature is not None
    _, best = read_tensors(folder / "weights_best.safetensors", CPU)
    _, last = read_tensors(folder / "weights_last.safetensors", CPU)
    assert float(best[TEMPERATURE]) == record.temperature
    assert TEMPERATURE not in last


def test_without_validation_images_there_is_no_temperature(run_stage: RunStage) -> None:
    folder = run_stage("train", NO_SEARCH | {"training.validation_fraction": 0})
    assert TrainRecord.read(folder / "record.json").temperature is None


def test_the_record_says_how_the_training_was_rebalanced_and_why(run_stage: RunStage) -> None:
    folder = run_stage("train", NO_SEARCH | {"training.rebalance": "auto"})
    rebalancing = TrainRecord.read(folder / "record.json").rebalancing
    assert rebalancing is not None
    assert (rebalancing.asked, rebalancing.method) == ("auto", "none")
    assert "chosen by auto: the largest class has" in rebalancing.sentence


def test_the_record_says_how_many_images_an_epoch_shows(run_stage: RunStage) -> None:
    folder = run_stage("train", NO_SEARCH | {"training.rebalance": "over-sample"})
    rebalancing = TrainRecord.read(folder / "record.json").rebalancing
    assert rebalancing is not None
    assert rebalancing.images_per_epoch is not None
