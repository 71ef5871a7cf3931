"""Measure accuracy against images per class: a network from scratch beside a pretrained one.

    python benchmarks/small_data.py CIFAR10_FOLDER [--seeds 3] [--per-class 10 50 200 1000]
                                    [--sides scratch pretrained fine-tuned]

CIFAR10_FOLDER is CIFAR-10's binary version, unpacked. For each seed and number of images a class,
that many training images are drawn (the same for all sides), recipe ``fast``'s network is trained
on them from scratch and recipe ``transfer``'s head is fitted to their features; side ``fine-tuned``
trains all weights on after that, for `FINE_TUNE_EPOCHS`. All are scored on all 10,000 test images.
From scratch gets at least `SCRATCH_STEPS` optimiser steps, so that few images are not few steps.
Each training is a row in ``benchmarks/results/small-data.json``, kept at
once, and a second call goes on from there; ``--draw`` only draws. The table and the picture
(``docs/small-data.svg``) go to ``docs/transfer.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset, ImageSplit
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.models.model import NetworkPlan
from tenfold.study.recipe import load_recipe
from tenfold.training.device import choose_device
from tenfold.training.fit import fit_network
from tenfold.training.inference import predict_logits
from tenfold.training.loop import Trainer

RESULTS = Path(__file__).parent / "results" / "small-data.json"
PICTURE = Path(__file__).parent.parent / "docs" / "small-data.svg"
SCRATCH_STEPS = 1000
FINE_TUNE_EPOCHS = 5
SIDES: dict[str, tuple[str, dict[str, object]]] = {
    "scratch": ("fast", {}),
    "pretrained": ("transfer", {}),
    "fine-tuned": ("transfer", {"fine_tune_epochs": FINE_TUNE_EPOCHS}),
}
"""Recipe of each side, and the changes of its model's settings."""
LABELS = {
    "scratch": "from scratch: recipe fast's network",
    "pretrained": "pretrained: EfficientNet-Lite0, linear head",
    "fine-tuned": f"and all weights trained on for {FINE_TUNE_EPOCHS} epochs",
}
LOOKS = {
    "pretrained": ("o-", "#1f6feb"),
    "fine-tuned": ("^:", "#1a7f37"),
    "scratch": ("s--", "#b35900"),
}
"""Style and colour."""

Row = dict[str, Any]


def main() -> None:
    """Measure what is missing, then print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--per-class", type=int, nargs="+", default=[10, 50, 200, 1000])
    parser.add_argument(
        "--sides", nargs="+", choices=list(SIDES), default=["scratch", "pretrained"]
    )
    parser.add_argument("--draw", action="store_true", help="only draw what was measured")
    arguments = parser.parse_args()
    rows: list[Row] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    if not arguments.draw:
        measure(arguments.folder, rows, arguments.sides, arguments.per_class, arguments.seeds)
    print(table(rows))
    draw(rows)


def measure(
    folder: Path, rows: list[Row], sides: list[str], per_class: list[int], seeds: int
) -> None:
    """Run every training that has no row yet."""
    data = SOURCES["cifar10"].load(folder, SourceOptions(), SilentProgress())
    done = {(row["side"], row["per_class"], row["seed"]) for row in rows}
    for seed in range(seeds):
        for count in per_class:
            for side in sides:
                if (side, count, seed) in done:
                    continue
                rows.append(run(data, side, count, seed))
                print(rows[-1], flush=True)
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(rows, indent=1))


def run(data: ImageDataset, side: str, per_class: int, seed: int) -> Row:
    """Train one side on a draw of the training images, and score it on all test images."""
    assert data.test is not None
    name, model_changes = SIDES[side]
    recipe = load_recipe(name)
    changes: dict[str, object] = {"validation_fraction": 0.0, "weights": "last"}
    if side == "scratch":
        changes["least_steps"] = SCRATCH_STEPS
    settings = recipe.training.model_copy(update=changes)
    plan = NetworkPlan.parse(
        recipe.model.name,
        {**recipe.model.settings, **model_changes},
        image_shape=(32, 32, 3),
        class_count=len(data.classes),
    )
    device = choose_device("auto")
    train = draw_images(data.train, per_class, seed)
    started = time.perf_counter()
    fitted = fit_network(Trainer(settings, seed, device), plan, train)
    seconds = time.perf_counter() - started
    precision = device.precision(settings.precision)
    logits = predict_logits(fitted.network, data.test.images, device=device, precision=precision)
    return {
        "side": side,
        "per_class": per_class,
        "seed": seed,
        "accuracy": float(np.mean(logits.argmax(1) == data.test.labels)),
        "seconds": round(seconds, 2),
    }


def draw_images(split: ImageSplit, per_class: int, seed: int) -> ImageSplit:
    """Give `per_class` images of every class, drawn by the seed."""
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(split.labels == label))[:per_class]
        for label in np.unique(split.labels)
    ]
    return split.take(np.sort(np.concatenate(chosen)))


def by_count(rows: list[Row], side: str) -> dict[int, list[Row]]:
    """Give the rows of a side by images a class, in ascending order."""
    counts = sorted({row["per_class"] for row in rows if row["side"] == side})
    return {
        count: [row for row in rows if (row["side"], row["per_class"]) == (side, count)]
        for count in counts
    }


def table(rows: list[Row]) -> str:
    """Give the table as Markdown: accuracy and seconds of each side."""
    runs = {side: by_count(rows, side) for side in SIDES}
    shown = [side for side in SIDES if runs[side]]
    names = {"scratch": "from scratch", "pretrained": "pretrained, linear head"}
    lines = [
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}. Mean (least to most) over seeds; median seconds of training.",
        "",
        f"| images a class | {' | '.join(names.get(side, side) for side in shown)} |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for count in sorted({row["per_class"] for row in rows}):
        cells = [_cell(runs[side].get(count, [])) for side in shown]
        lines.append(f"| {count:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(rows: list[Row]) -> float:
    return 100 * statistics.fmean(row["accuracy"] for row in rows)


def _cell(rows: list[Row]) -> str:
    if not rows:
        return "–"
    values = [100 * row["accuracy"] for row in rows]
    spread = "" if len(rows) == 1 else f" ({min(values):.1f} to {max(values):.1f})"
    seconds = statistics.median(row["seconds"] for row in rows)
    seeds = f"{len(rows)} seed{'' if len(rows) == 1 else 's'}"
    return f"{_mean(rows):.1f}%{spread}, {seconds:.0f} s, {seeds}"


def draw(rows: list[Row]) -> None:
    """Draw each side's curve, each seed a point."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    best: dict[int, float] = {}
    for side in LOOKS:
        for count, run in by_count(rows, side).items():
            best[count] = max(best.get(count, 0.0), _mean(run))
    for side, (style, colour) in LOOKS.items():
        runs = by_count(rows, side)
        if not runs:
            continue
        means = [_mean(run) for run in runs.values()]
        axes.plot(list(runs), means, style, color=colour, label=LABELS[side])
        for count, run in runs.items():
            axes.plot(
                [count] * len(run),
                [100 * row["accuracy"] for row in run],
                ".",
                color=colour,
                alpha=0.4,
            )
        for count, mean in zip(runs, means, strict=True):
            axes.annotate(
                f"{mean:.1f}%",
                (count, mean),
                textcoords="offset points",
                xytext=(0, 8 if mean == best[count] else -15),
                ha="center",
                color=colour,
                fontsize=8,
            )
    ordered = sorted(best)
    axes.set_xscale("log")
    axes.set_xticks(ordered, [f"{count:,}" for count in ordered])
    axes.minorticks_off()
    axes.margins(x=0.08, y=0.12)
    axes.set_xlabel("training images a class (logarithmic)")
    axes.set_ylabel("test accuracy in %")
    axes.set_title("CIFAR-10: what ImageNet weights are worth")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
