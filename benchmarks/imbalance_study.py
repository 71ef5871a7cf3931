"""Compare all ways to rebalance classes on CIFAR-10 made imbalanced, 100 to 1.

    python benchmarks/imbalance_study.py CIFAR10_FOLDER [--seeds 3] [--ratio 100] [--jobs 2]

CIFAR10_FOLDER is CIFAR-10's binary version, unpacked. Of class 0 all 5,000 training images are
kept, of class 9 one in RATIO, between them the number falls exponentially (CIFAR-10-LT of Cui et
al., arXiv 1901.05555): 12,406 images at 100 to 1. The test images stay balanced. Every training
shows the same number of images, whatever an epoch of it shows; each is a process of its own with
one thread. Results are kept at once in ``benchmarks/results/imbalance-RATIO.json``, and a second
call goes on from there; ``--draw`` only draws. The table goes to docs/imbalance.md, the picture
lies beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageSplit
from tenfold.data.rebalancing import choose_rebalancing
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.evaluation.differences import Spread
from tenfold.models.model import NetworkPlan
from tenfold.study.recipe import load_recipe
from tenfold.training.device import Device
from tenfold.training.fit import fit_network
from tenfold.training.inference import predict_logits
from tenfold.training.loop import Trainer
from tenfold.training.settings import TrainingSettings

HERE = Path(__file__).parent
CLASS_COUNT = 10
METHODS = ("none", "inverse", "effective-number", "over-sample", "under-sample", "logit-adjust")
EPOCHS = 12
"""Of the images as they are; other methods show as many images, within 1% (over-sampling: three
whole epochs of 50,000)."""
BATCH_SIZE = 125
MODEL = {"widths": [16, 48, 64], "depths": [2, 2, 2]}

Row = dict[str, Any]


def main() -> None:
    """Train what is missing, print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ratio", type=float, default=100.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--draw", action="store_true", help="only draw what was measured")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "SEED"), help="train once, print JSON")
    arguments = parser.parse_args()
    if arguments.one:
        method, seed = arguments.one
        print(json.dumps(train(arguments.folder, arguments.ratio, method, int(seed))))
        return
    results = HERE / "results" / f"imbalance-{arguments.ratio:g}.json"
    rows: list[Row] = json.loads(results.read_text()) if results.is_file() else []
    if not arguments.draw:
        measure(arguments, rows, results)
    print(table(rows, arguments.ratio))
    draw(rows, HERE.parent / "docs" / f"imbalance-{arguments.ratio:g}.svg")


def measure(arguments: argparse.Namespace, rows: list[Row], results: Path) -> None:
    """Run every training that has no row yet, some at a time."""
    done = {(row["method"], row["seed"]) for row in rows}
    jobs = [
        (method, seed)
        for seed in range(arguments.seeds)
        for method in METHODS
        if (method, seed) not in done
    ]

    def run(job: tuple[str, int]) -> Row:
        method, seed = job
        finished = subprocess.run(
            [
                sys.executable,
                __file__,
                str(arguments.folder),
                *("--ratio", str(arguments.ratio), "--one", method, str(seed)),
            ],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
        row: Row = json.loads(finished.stdout.splitlines()[-1])
        return row

    with ThreadPoolExecutor(arguments.jobs) as pool:
        for row in pool.map(run, jobs):
            rows.append(row)
            print({k: v for k, v in row.items() if k != "recalls"}, file=sys.stderr, flush=True)
            results.parent.mkdir(exist_ok=True)
            results.write_text(json.dumps(rows, indent=1))


def train(folder: Path, ratio: float, method: str, seed: int) -> Row:
    """Train once on the imbalanced images and score the balanced test images."""
    torch.set_num_threads(1)
    data = SOURCES["cifar10"].load(folder, SourceOptions(), SilentProgress())
    split = imbalanced(data.train, ratio)
    counts = split.counts(CLASS_COUNT)
    plan = choose_rebalancing(method, counts, data.classes)
    epoch_length = sum(plan.images_per_epoch or counts)
    settings = TrainingSettings.parse(
        {
            **load_recipe("fast").training.plain(),
            "epochs": max(1, round(EPOCHS * len(split) / epoch_length)),
            "least_steps": 0,
            "batch_size": BATCH_SIZE,
            "validation_fraction": 0.0,
            "rebalance": method,
        }
    )
    device = Device("cpu", platform.machine(), 1)
    network = NetworkPlan.parse("fast", MODEL, image_shape=(32, 32, 3), class_count=CLASS_COUNT)
    started = time.perf_counter()
    fitted = fit_network(Trainer(settings, seed, device, classes=data.classes), network, split)
    seconds = time.perf_counter() - started
    logits = predict_logits(
        fitted.network,
        data.test.images,
        device=device,
        precision=device.precision(settings.precision),
    )
    is_right = logits.argmax(1) == data.test.labels
    recalls = [float(is_right[data.test.labels == label].mean()) for label in range(CLASS_COUNT)]
    return {
        "method": method,
        "seed": seed,
        "classes": data.classes,
        "counts": counts,
        "accuracy": float(is_right.mean()),
        "macro_recall": float(np.mean(recalls)),
        "recalls": recalls,
        "epochs": settings.epochs,
        "images_shown": settings.epochs * epoch_length,
        "seconds": round(seconds, 1),
    }


def imbalanced(split: ImageSplit, ratio: float) -> ImageSplit:
    """Keep of class k a share of ratio^(-k / 9), always the same images."""
    generator = np.random.default_rng(0)
    kept = []
    for label, count in enumerate(split.counts(CLASS_COUNT)):
        members = generator.permutation(np.flatnonzero(split.labels == label))
        kept.append(members[: int(count * ratio ** (-label / (CLASS_COUNT - 1)))])
    chosen = np.sort(np.concatenate(kept))
    return ImageSplit(split.images[chosen], split.labels[chosen])


def by_method(rows: list[Row]) -> dict[str, list[Row]]:
    """Group the rows, in the order of `METHODS`."""
    groups = {method: [row for row in rows if row["method"] == method] for method in METHODS}
    return {method: group for method, group in groups.items() if len(group) > 1}


def percent(values: list[float]) -> str:
    """Give mean and half the width of its 95% interval over seeds, in percent."""
    spread = Spread.of(values)
    half = (spread.interval.high - spread.interval.low) / 2
    return f"{100 * spread.mean:.1f} ± {100 * half:.1f}"


def table(rows: list[Row], ratio: float) -> str:
    """Give the tables as Markdown."""
    groups = by_method(rows)
    some = rows[0]
    lines = [
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch "
        f"{torch.__version__}. {sum(some['counts']):,} training images ({ratio:g} to 1), about "
        f"{some['images_shown']:,} shown in each training, one thread. Percent of 10,000 balanced "
        "test images; mean ± half of its 95% interval over seeds.",
        "",
        "On balanced test images accuracy and macro recall are the same number; *accuracy as "
        "trained* weighs the recalls by the training images' shares, as accuracy on images "
        "imbalanced alike would.",
        "",
        "| method | macro recall | accuracy as trained | five largest | five smallest | smallest | "
        "seeds | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method, group in groups.items():
        cells = [
            method,
            percent([row["macro_recall"] for row in group]),
            percent([float(np.average(row["recalls"], weights=row["counts"])) for row in group]),
            percent([float(np.mean(row["recalls"][:5])) for row in group]),
            percent([float(np.mean(row["recalls"][5:])) for row in group]),
            percent([row["recalls"][-1] for row in group]),
            str(len(group)),
            f"{np.median([row['seconds'] for row in group]):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Recall of each class, with its training images:",
        "",
        "| method | "
        + " | ".join(f"{n} ({c})" for n, c in zip(some["classes"], some["counts"], strict=True))
        + " |",
        "|---" * (CLASS_COUNT + 1) + "|",
    ]
    for method, group in groups.items():
        recalls = [
            percent([row["recalls"][label] for row in group]) for label in range(CLASS_COUNT)
        ]
        lines.append(f"| {method} | {' | '.join(recalls)} |")
    return "\n".join(lines)


def draw(rows: list[Row], picture: Path) -> None:
    """Draw each method's recall against class, and its macro recall."""
    groups = by_method(rows)
    some = rows[0]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=(9, 5)
    )
    colours = ("#57606a", "#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73")
    for (method, group), colour in zip(groups.items(), colours, strict=False):
        recalls = 100 * np.mean([row["recalls"] for row in group], axis=0)
        left.plot(range(CLASS_COUNT), recalls, "o-", color=colour, label=method, markersize=4)
    left.set_xticks(
        range(CLASS_COUNT),
        [f"{name}\n{count:,}" for name, count in zip(some["classes"], some["counts"], strict=True)],
        fontsize=7,
    )
    left.set_ylabel("recall in %")
    left.set_xlabel("class, training images")
    left.set_ylim(0, 100)
    left.grid(alpha=0.3)
    left.legend(fontsize=8)
    for place, (group, colour) in enumerate(zip(groups.values(), colours, strict=False)):
        spread = Spread.of([row["macro_recall"] for row in group])
        errors = [[spread.mean - spread.interval.low], [spread.interval.high - spread.mean]]
        right.errorbar(
            100 * spread.mean,
            place,
            xerr=100 * np.array(errors),
            fmt="o",
            color=colour,
            capsize=4,
        )
    right.set_yticks(range(len(groups)), list(groups))
    right.invert_yaxis()
    right.set_xlabel("macro recall in %, 95% interval over seeds")
    right.grid(alpha=0.3, axis="x")
    figure.suptitle(f"CIFAR-10 with {sum(some['counts']):,} training images, imbalanced")
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main()
