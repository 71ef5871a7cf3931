"""Measure what each training option does to a short training on CIFAR-10.

    python benchmarks/training_options.py CIFAR10_FOLDER [--output training_options.csv]
                                          [--images 12000] [--epochs 4] [--jobs 2]

CIFAR10_FOLDER is CIFAR-10's binary version, unpacked. Every augmentation, schedule, average
of the weights, clipping and early stopping is trained once with a small network of model `fast`,
dropout and batch norm with model `cnn`; all else is as in the group's first row. Each training has
one thread, `--jobs` run at a time. They share seed and images; 10,000 other training images are
scored, so the test set has no part in what anybody concludes. Rows that the output has are kept.
At the end a Markdown table is printed: accuracy with its 95% interval (Wilson), seconds, and the
difference to the group's first row in points.
"""

from __future__ import annotations

import argparse
import csv
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from tenfold.core.progress import SilentProgress
from tenfold.data.augmentation import augmentation_names
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.data.splits import holdout_split
from tenfold.evaluation.intervals import wilson_interval
from tenfold.models.model import NetworkPlan
from tenfold.study.recipe import load_recipe
from tenfold.training.device import choose_device
from tenfold.training.fit import fit_network
from tenfold.training.inference import predict_logits
from tenfold.training.loop import Trainer
from tenfold.training.settings import ScheduleName, TrainingSettings

SCORED = 10_000
WATCHED_FRACTION = 0.1  # of the images trained with: schedule plateau and early stopping need them
COLUMNS = ("group", "option", "key", "accuracy", "seconds", "epochs")

# Size M of `accuracy_table.py`: half an epoch a minute on one core, and far from saturated.
SMALL_FAST = {"widths": (32, 64, 64), "depths": (2, 2, 3), "norm_momentum": 0.1}
SMALL_CNN = {"conv_layers": 3, "filters": (32, 64, 64), "padding": "same"}
SGD = {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.05}
CONSTANT = {"schedule": "constant"}
FASTER_EMA = {"averaging": "ema", "ema_decay": 0.98}


@dataclass(frozen=True)
class Option:
    """One row: what is changed from the settings that all share."""

    group: str
    name: str
    training: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] | None = None
    """Settings of model `cnn`; None for model `fast`."""


def options() -> list[Option]:
    """Give all rows, each group's ground first."""
    policies = ("none", *(name for name in augmentation_names() if name != "none"))
    cnn = {"optimizer": "adam", "schedule": "one-cycle", "low_resolution_share": 0.0}
    return [
        *(Option("augmentation", name, {"augmentation": name}) for name in policies),
        *(
            Option(
                "schedule",
                name,
                {"schedule": name, **({"plateau_patience": 1} if name == "plateau" else {})},
            )
            for name in get_args(ScheduleName)
        ),
        Option("averaging, linear schedule", "none"),
        Option("averaging, linear schedule", "ema, decay 0.98", FASTER_EMA),
        Option("averaging, linear schedule", "swa", {"averaging": "swa"}),
        Option("averaging, constant schedule", "none", CONSTANT),
        Option("averaging, constant schedule", "ema, decay 0.98", CONSTANT | FASTER_EMA),
        Option("averaging, constant schedule", "ema, decay 0.999", CONSTANT | {"averaging": "ema"}),
        Option("averaging, constant schedule", "swa", CONSTANT | {"averaging": "swa"}),
        Option("gradient clipping, SGD", "none", SGD),
        Option("gradient clipping, SGD", "norm 1", SGD | {"gradient_clip_norm": 1.0}),
        Option("gradient clipping, SGD", "norm 0.1", SGD | {"gradient_clip_norm": 0.1}),
        Option("label smoothing", "0", {"label_smoothing": 0.0}),
        Option("label smoothing", "0.2", {"label_smoothing": 0.2}),
        Option(
            "early stopping, constant schedule",
            "after 1 epoch",
            CONSTANT | {"early_stopping_patience": 1, "weights": "best"},
        ),
        *(
            Option(
                "dropout and batch norm, cnn",
                f"dropout {conv:g} and {dense:g}{', batch norm' if norm else ''}",
                cnn,
                {"conv_dropout": conv, "dense_dropout": dense, "has_batch_norm": norm},
            )
            for norm in (False, True)
            for conv, dense in ((0.0, 0.0), (0.1, 0.25), (0.25, 0.5))
        ),
    ]


@dataclass(frozen=True)
class Measurement:
    """How all options are trained."""

    folder: Path
    images: int
    epochs: int
    jobs: int

    def settings(self, option: Option) -> TrainingSettings:
        """Give recipe `fast`'s settings for a short training, with the option's changes."""
        return TrainingSettings.parse(
            {
                **load_recipe("fast").training.plain(),
                "epochs": self.epochs,
                "least_steps": 0,
                "validation_fraction": WATCHED_FRACTION,
                **option.training,
            }
        )

    def key(self, option: Option) -> str:
        """Give what the result depends on; two rows of one key are one training."""
        settings = self.settings(option).result_settings()
        return json.dumps([self.images, option.model, settings], sort_keys=True)

    def plan(self, option: Option) -> NetworkPlan:
        """Give what is built."""
        name, settings = ("fast", SMALL_FAST)
        if option.model is not None:
            name, settings = "cnn", SMALL_CNN | option.model
        return NetworkPlan.parse(name, settings, image_shape=(32, 32, 3), class_count=10)

    def train(self, option: Option) -> dict[str, Any]:
        """Train once on one thread; give the row."""
        device = choose_device("cpu")
        torch.set_num_threads(1)
        split = SOURCES["cifar10"].load(self.folder, SourceOptions(), SilentProgress()).train
        rest, scored = holdout_split(
            split.labels, fraction=SCORED / len(split), method="stratified", seed=0
        )
        chosen = split.take(np.random.default_rng(0).permutation(rest)[: self.images])
        kept, watched = holdout_split(
            chosen.labels, fraction=WATCHED_FRACTION, method="stratified", seed=0
        )
        fitted = fit_network(
            Trainer(self.settings(option), 0, device),
            self.plan(option),
            chosen.take(kept),
            chosen.take(watched),
        )
        precision = device.precision("auto")
        held_out = split.take(scored)
        logits = predict_logits(fitted.network, held_out.images, device=device, precision=precision)
        return {
            "key": self.key(option),
            "accuracy": float(np.mean(logits.argmax(1) == held_out.labels)),
            "seconds": round(fitted.seconds, 1),
            "epochs": len(fitted.history),
        }

    def run(self, output: Path) -> dict[str, dict[str, Any]]:
        """Train what the output lacks; give all rows by key."""
        rows = read_rows(output)
        waiting = {self.key(option): option for option in options()}
        missing = [option for key, option in waiting.items() if key not in rows]
        # Longest first: no long training is left alone at the end.
        missing.sort(key=lambda option: option.model is None)
        with ProcessPoolExecutor(self.jobs, mp_context=get_context("spawn")) as pool:
            begun = {pool.submit(self.train, option): option for option in missing}
            for finished in as_completed(begun):
                row, option = finished.result(), begun[finished]
                rows[row["key"]] = {"group": option.group, "option": option.name, **row}
                write_rows(output, rows)
                print(f"{option.group}: {option.name}: {row['accuracy']:.4f}", flush=True)
        return rows


def read_rows(output: Path) -> dict[str, dict[str, Any]]:
    """Give the rows that the output has, by key."""
    if not output.is_file():
        return {}
    with output.open(encoding="utf-8", newline="") as file:
        return {row["key"]: row for row in csv.DictReader(file)}


def write_rows(output: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Write all rows."""
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())


def markdown(measurement: Measurement, rows: dict[str, dict[str, Any]]) -> str:
    """Give the table for the documentation."""
    lines = [
        "| group | option | accuracy (95% interval) | difference | seconds |",
        "|---|---|---|---|---|",
    ]
    group, ground = "", 0.0
    for option in options():
        row = rows[measurement.key(option)]
        accuracy = float(row["accuracy"])
        is_first = option.group != group
        if is_first:
            group, ground = option.group, accuracy
        interval = wilson_interval(round(accuracy * SCORED), SCORED)
        difference = "" if is_first else f"{100 * (accuracy - ground):+.1f}".replace("-", "−")
        lines.append(
            f"| {option.group if is_first else ''} | {option.name} | {accuracy:.1%} "
            f"({interval.low:.1%} to {interval.high:.1%}) | {difference} "
            f"| {float(row['seconds']):.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path("training_options.csv"))
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    measurement = Measurement(given.folder, given.images, given.epochs, given.jobs)
    rows = measurement.run(given.output)
    print(markdown(measurement, rows))


if __name__ == "__main__":
    main()
