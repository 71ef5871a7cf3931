"""Draw what accuracy tenfold, Keras' report pipeline and a plain ResNet-18 reach in what time.

    python benchmarks/accuracy_for_time.py CIFAR10_FOLDER [--short-seeds 5] [--long-seeds 3]

CIFAR10_FOLDER is CIFAR-10's binary version, unpacked. First Keras trains the original report's
network for its 20 epochs (in an environment of its own, which is made on the first run): K seconds.
Then tenfold trains with budgets of K/80, K/16, K/4, K and 2.2 K, seed after seed, and a plain
ResNet-18 with budgets of K and 2.2 K; each training is a process of its own. Seconds count
everything after the images are in memory. Every result is kept at once in
``benchmarks/results/accuracy-for-time.json``, and a second call goes on from there; ``--draw`` only
draws. The table and the picture (``docs/accuracy-for-time.svg``) go to the README.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

from report_recipe import Side, keras_python

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "accuracy-for-time.json"
PICTURE = HERE.parent / "docs" / "accuracy-for-time.svg"
KERAS_EPOCHS = 20
SHARES = (1 / 80, 1 / 16, 1 / 4, 1.0, 2.2)
SHARE_NAMES = ("K/80", "K/16", "K/4", "K", "2.2 K")
TARGETS = (0.6576, 0.82, 0.905, 0.935, 0.945)
LONG = 1.0
"""From this share of K on a training is a long one, of which fewer seeds are run."""

Row = dict[str, Any]


def main() -> None:
    """Measure what is missing, then print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--short-seeds", type=int, default=5)
    parser.add_argument("--long-seeds", type=int, default=3)
    parser.add_argument("--draw", action="store_true", help="only draw what was measured")
    arguments = parser.parse_args()
    rows: list[Row] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    if not arguments.draw:
        measure(arguments.folder, rows, arguments.short_seeds, arguments.long_seeds)
    print(table(rows))
    draw(rows)


def measure(folder: Path, rows: list[Row], short_seeds: int, long_seeds: int) -> None:
    """Run every training that has no row yet."""

    def keep(row: Row) -> None:
        rows.append(row)
        print(row, flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(rows, indent=1))

    if not any(row["who"] == "keras" for row in rows):
        for row in keras_epochs(folder):
            keep(row)
    keras_seconds = max(row["seconds"] for row in rows if row["who"] == "keras")
    jobs = [
        ("tenfold", share, seed)
        for seed in range(max(short_seeds, long_seeds))
        for share in SHARES
        if seed < (long_seeds if share >= LONG else short_seeds)
    ]
    jobs.insert(len(SHARES), ("resnet18", 1.0, 0))
    jobs.append(("resnet18", 2.2, 0))
    done = {(row["who"], row.get("share"), row.get("seed")) for row in rows}
    for who, share, seed in jobs:
        if (who, share, seed) in done:
            continue
        seconds = round(share * keras_seconds, 1)
        command = [sys.executable, str(HERE / "timed_training.py"), str(folder)]
        finished = subprocess.run(
            [*command, who, str(seconds), str(seed)], check=True, capture_output=True, text=True
        )
        keep({**json.loads(finished.stdout.splitlines()[-1]), "share": share})


def keras_epochs(folder: Path) -> list[Row]:
    """Train Keras' 20 epochs; give the seconds so far and the validation accuracy after each."""
    side = Side(keras_python(), "keras_report_network.py", folder, KERAS_EPOCHS)
    rows: list[Row] = []
    seconds = 0.0
    for epoch in range(KERAS_EPOCHS):
        taken, accuracy = side.epoch()
        seconds += taken
        rows.append({"who": "keras", "epoch": epoch + 1, "seconds": seconds, "accuracy": accuracy})
    side.close()
    return rows


def table(rows: list[Row]) -> str:
    """Give the table of budgets as Markdown: medians, least and most."""
    keras = [row for row in rows if row["who"] == "keras"]
    by_share: dict[float, list[Row]] = defaultdict(list)
    for row in rows:
        if row["who"] == "tenfold":
            by_share[row["share"]].append(row)
    lines = [
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}; K = {keras[-1]['seconds']:.0f} s, Keras' validation accuracy "
        f"after it {keras[-1]['accuracy']:.3f}",
        "",
        "| budget | seconds | test accuracy | from, to | with augmentation | runs | target |",
        "|---|---|---|---|---|---|---|",
    ]
    for share, name, target in zip(SHARES, SHARE_NAMES, TARGETS, strict=True):
        runs = by_share.get(share, [])
        if not runs:
            continue
        plain = [100 * row["accuracy"] for row in runs]
        lines.append(
            f"| {name} | {statistics.median(row['seconds'] for row in runs):.1f} | "
            f"{statistics.median(plain):.2f}% | {min(plain):.2f}%, {max(plain):.2f}% | "
            f"{100 * statistics.median(row['accuracy_with_views'] for row in runs):.2f}% | "
            f"{len(runs)} | {100 * target:.2f}% |"
        )
    for row in rows:
        if row["who"] == "resnet18":
            lines.append(
                f"| plain ResNet-18 | {row['seconds']:.1f} | {100 * row['accuracy']:.2f}% "
                "| | | 1 | |"
            )
    return "\n".join(lines)


def draw(rows: list[Row]) -> None:
    """Draw the curve."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    by_share: dict[float, list[Row]] = defaultdict(list)
    for row in rows:
        if row["who"] == "tenfold":
            by_share[row["share"]].append(row)
    points = sorted(
        (
            statistics.median(row["seconds"] for row in runs),
            statistics.median(100 * row["accuracy"] for row in runs),
        )
        for runs in by_share.values()
    )
    axes.plot(*zip(*points, strict=True), "o-", color="#1f6feb", label="tenfold --budget")
    for seconds, accuracy in points:
        axes.annotate(
            f"{accuracy:.1f}% in {seconds:.3g} s",
            (seconds, accuracy),
            textcoords="offset points",
            xytext=(8, -12),
            fontsize=8,
        )
    keras = [row for row in rows if row["who"] == "keras"]
    axes.plot(
        [row["seconds"] for row in keras],
        [100 * row["accuracy"] for row in keras],
        ".-",
        color="#b35900",
        label="Keras, the report's network (validation)",
    )
    resnet = sorted(
        (row["seconds"], 100 * row["accuracy"]) for row in rows if row["who"] == "resnet18"
    )
    if resnet:
        axes.plot(*zip(*resnet, strict=True), "s--", color="#57606a", label="plain ResNet-18")
    axes.set_xscale("log")
    ticks = [4, 10, 20, 50, 100, 200, 500, 1000, 2000]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(3.5, 2300)
    axes.set_xlabel("seconds of training, start-up included (logarithmic)")
    axes.set_ylabel("accuracy in %")
    axes.set_title("CIFAR-10 on 2 CPU cores: accuracy for the time spent")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
