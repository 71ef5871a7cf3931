"""Measure the table that time budgets choose from: accuracy against images shown, size by size.

    python benchmarks/accuracy_table.py CIFAR10_FOLDER [--output fast.csv] [--sizes S,M]

CIFAR10_FOLDER is CIFAR-10's binary version, unpacked. Every size of model `fast` is trained for
several lengths with the training settings of recipe `fast`, one training a core at a time, on
45,000 images; the accuracy is that of the other 5,000 training images, so the test set has no part
in what the budgets choose. Lengths below an epoch train once on a part of the images. The cost of
an image is timed at the end, one size after the other, three times each. Rows that the output has
are kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import statistics
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tenfold
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageSplit
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.data.splits import holdout_split
from tenfold.models.model import NetworkPlan
from tenfold.study.recipe import load_recipe
from tenfold.training.device import choose_device
from tenfold.training.fit import fit_network, seconds_per_image
from tenfold.training.inference import predict_logits
from tenfold.training.loop import Trainer
from tenfold.training.settings import TrainingSettings

SHAPE, CLASSES, HELD_OUT = (32, 32, 3), 10, 0.1
COLUMNS = ("size", "settings", "relative_cost", "epochs", "images_shown", "accuracy")


@dataclass(frozen=True)
class Size:
    """A size and the lengths that it is worth training for."""

    name: str
    model: dict[str, Any]
    training: dict[str, Any]
    epochs: tuple[float, ...]

    @property
    def settings(self) -> str:
        """Give the settings as the table and ``--set`` write them."""
        return ";".join(
            f"{part}.{name}={json.dumps(value)}"
            for part, settings in (("model", self.model), ("training", self.training))
            for name, value in settings.items()
        )

    def plan(self) -> NetworkPlan:
        """Give what is built: recipe `fast`'s network in this size."""
        settings = {**load_recipe("fast").model.settings, **self.model}
        return NetworkPlan.parse("fast", settings, image_shape=SHAPE, class_count=CLASSES)


_XXL = {"widths": [64, 192, 256], "depths": [2, 3, 3]}
SIZES = (
    Size(
        "S",
        {"widths": [16, 32, 64], "depths": [2, 2, 2]},
        {"batch_size": 125},
        (0.15, 0.3, 0.6, 1),
    ),
    Size("M", {"widths": [32, 64, 64], "depths": [2, 2, 3]}, {"batch_size": 125}, (0.3, 0.6, 1, 2)),
    Size("L", {"widths": [32, 128, 128], "depths": [2, 2, 3]}, {"batch_size": 250}, (1, 2, 4, 8)),
    Size("XL", {"widths": [48, 128, 256], "depths": [2, 2, 3]}, {"batch_size": 250}, (2, 4, 8, 12)),
    Size("XXL", _XXL, {"batch_size": 250}, (6, 8, 12)),
    # The plain twin of XXL, ahead of it in the longest trainings (docs/experiments.md).
    Size("XXL-free", {**_XXL, "is_mirror_equivariant": False}, {"batch_size": 250}, (3, 6, 8, 12)),
)


def training_settings(size: Size, epochs: int) -> TrainingSettings:
    """Give recipe `fast`'s settings for this size and number of epochs."""
    recipe: dict[str, Any] = load_recipe("fast").training.plain()
    return TrainingSettings.parse(
        {
            **recipe,
            **size.training,
            "epochs": epochs,
            "least_steps": 0,
            "validation_fraction": 0.0,
        }
    )


def measure(size: Size, epochs: float, folder: Path) -> dict[str, Any]:
    """Train once on one thread and give the table's row, its cost left open."""
    torch.set_num_threads(1)
    train, held_out = parts(folder)
    if epochs < 1:
        count = round(epochs * len(train))
        train = train.take(np.random.default_rng(0).permutation(len(train))[:count])
    whole = max(1, round(epochs))
    device = choose_device("cpu")
    torch.set_num_threads(1)
    fitted = fit_network(Trainer(training_settings(size, whole), 0, device), size.plan(), train)
    precision = device.precision("auto")
    logits = predict_logits(fitted.network, held_out.images, device=device, precision=precision)
    return {
        "size": size.name,
        "settings": size.settings,
        "epochs": epochs,
        "images_shown": whole * len(train),
        "accuracy": round(float(np.mean(logits.argmax(1) == held_out.labels)), 4),
    }


def parts(folder: Path) -> tuple[ImageSplit, ImageSplit]:
    """Give the training images and those held out of them."""
    train = SOURCES["cifar10"].load(folder, SourceOptions(), SilentProgress()).train
    chosen, held_out = holdout_split(train.labels, fraction=HELD_OUT, method="stratified", seed=0)
    return train.take(chosen), train.take(held_out)


def costs(folder: Path) -> dict[str, float]:
    """Time an image of every size, in turn, three times; relative to the first."""
    device = choose_device("cpu")
    train, _ = parts(folder)
    seconds: dict[str, list[float]] = {size.name: [] for size in SIZES}
    for _ in range(3):
        for size in SIZES:
            seconds[size.name].append(
                seconds_per_image(size.plan(), train, training_settings(size, 1), device=device)
            )
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {name: median / medians[SIZES[0].name] for name, median in medians.items()}


def read_rows(output: Path) -> list[dict[str, Any]]:
    """Give the rows that the output has."""
    if not output.is_file():
        return []
    lines = (line for line in output.read_text("utf-8").splitlines() if not line.startswith("#"))
    return list(csv.DictReader(lines))


def write_rows(output: Path, rows: list[dict[str, Any]], relative: dict[str, float]) -> None:
    """Write the table, smallest size first."""
    order = {size.name: place for place, size in enumerate(SIZES)}
    rows = sorted(rows, key=lambda row: (order[row["size"]], float(row["images_shown"])))
    with output.open("w", encoding="utf-8", newline="") as file:
        file.write(
            f"# benchmarks/accuracy_table.py: CIFAR-10, 5,000 held-out training images, seed 0; "
            f"torch {torch.__version__}, tenfold {tenfold.__version__}, {platform.machine()}\n"
        )
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            cost = relative.get(row["size"], row.get("relative_cost") or 0)
            writer.writerow({**row, "relative_cost": f"{float(cost):.3g}"})


def main() -> None:
    """Measure what is missing, then the costs, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path("fast.csv"))
    parser.add_argument("--sizes", default=",".join(size.name for size in SIZES))
    arguments = parser.parse_args()
    rows = read_rows(arguments.output)
    done = {(row["settings"], float(row["epochs"])) for row in rows}
    jobs = [
        (size, epochs)
        for size in SIZES
        for epochs in size.epochs
        if size.name in arguments.sizes.split(",") and (size.settings, epochs) not in done
    ]
    jobs.sort(key=lambda job: -job[1] * math.prod(job[0].model["widths"][1:]))  # longest first
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        waiting = [pool.submit(measure, *job, arguments.folder) for job in jobs]
        for finished in as_completed(waiting):
            rows.append(finished.result())
            print(rows[-1], flush=True)
            write_rows(arguments.output, rows, {})
    write_rows(arguments.output, rows, costs(arguments.folder))


if __name__ == "__main__":
    main()
