"""Measure what accuracy on disturbed images owes to each part of recipe `fast`, on CIFAR-10.

    python benchmarks/robustness.py CIFAR10_FOLDER [--output robustness.csv] [--only NAME ...]
                                    [--images 50000] [--epochs 2] [--widths 32 64 64] [--seeds 1]
                                    [--scored held-out]

CIFAR10_FOLDER is CIFAR-10's binary version, unpacked. Every variant is recipe `fast` but for what
it names, trained for whole epochs, on one thread. With `--scored held-out`, 5,000 training images
that no training sees are scored, so that a choice has no part in the test set; with `--scored test`
all training images may be trained with, `--images` of them. Disturbed are 2,000 of the scored
images, by the product's own disturbances. A training that is stopped goes on from its checkpoint
beside the output, and rows that the output has are kept. At the end a Markdown table is printed,
means over the seeds.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tenfold.core.progress import SilentProgress
from tenfold.data.corruptions import CORRUPTIONS
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.data.splits import holdout_split
from tenfold.data.store import AnyImages
from tenfold.evaluation.robustness import measure_robustness
from tenfold.models.model import NetworkPlan
from tenfold.study.recipe import load_recipe
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.device import choose_device
from tenfold.training.fit import fit_network
from tenfold.training.inference import predict_logits
from tenfold.training.loop import Trainer
from tenfold.training.settings import TrainingSettings

DISTURBED = 2_000
HELD_OUT_SHARE = 0.1
KINDS = tuple(corruption.name for corruption in CORRUPTIONS)
COLUMNS = ("variant", "seed", "key", "seconds", "clean", "weakest noise", "mean", *KINDS)


@dataclass(frozen=True)
class Variant:
    """What is changed from the recipe."""

    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


def _variant(epsilon: float, *, is_normalized: bool, changes: str = "") -> Variant:
    return Variant(
        {"whitening_epsilon": epsilon, "is_contrast_normalized": is_normalized},
        {"augmentation": f"crop-flip{changes}"},
    )


VARIANTS = {
    "before": _variant(5e-4, is_normalized=False),
    "epsilon 0.05": _variant(0.05, is_normalized=False),
    "epsilon 0.5": _variant(0.5, is_normalized=False),
    "epsilon 0.5, contrast": _variant(0.5, is_normalized=True),
    "epsilon 0.5, noise": _variant(0.5, is_normalized=False, changes="+noise"),
    "epsilon 0.5, contrast, noise": _variant(0.5, is_normalized=True, changes="+noise"),
    "epsilon 0.1, contrast, blur, noise": _variant(0.1, is_normalized=True, changes="+blur+noise"),
    "recipe": Variant(),
}
"""*Contrast* is one contrast for all images (`is_contrast_normalized`)."""


@dataclass(frozen=True)
class Measurement:
    """How all variants are trained and scored."""

    folder: Path
    output: Path
    images: int
    epochs: int
    widths: tuple[int, ...]
    scored: str

    def settings(self, variant: Variant) -> tuple[dict[str, Any], TrainingSettings]:
        """Give a variant's settings of model and training."""
        recipe = load_recipe("fast")
        training = TrainingSettings.parse(
            {
                **recipe.training.plain(),
                "epochs": self.epochs,
                "least_steps": 0,
                "validation_fraction": 0.0,
                **variant.training,
            }
        )
        return {**recipe.model.settings, "widths": self.widths, **variant.model}, training

    def key(self, variant: Variant, seed: int) -> str:
        """Give what a row depends on."""
        model, training = self.settings(variant)
        parts = [self.scored, self.images, seed, model, training.result_settings()]
        return json.dumps(parts, sort_keys=True)

    def row(self, variant: Variant, seed: int) -> dict[str, Any]:
        """Train once on one thread and score, in percent."""
        device = choose_device("cpu")
        torch.set_num_threads(1)
        data = SOURCES["cifar10"].load(self.folder, SourceOptions(), SilentProgress())
        train, scored = data.train, data.test
        if self.scored == "held-out":
            rest, held_out = holdout_split(
                train.labels, fraction=HELD_OUT_SHARE, method="stratified", seed=0
            )
            train, scored = train.take(rest), train.take(held_out)
        train = train.take(np.random.default_rng(5).permutation(len(train))[: self.images])
        model, training = self.settings(variant)
        plan = NetworkPlan.parse("fast", model, image_shape=(32, 32, 3), class_count=10)
        digest = hashlib.sha256(self.key(variant, seed).encode()).hexdigest()
        path = self.output.with_suffix(f".{digest[:12]}.safetensors")
        checkpoint = Checkpoint(path)
        fitted = fit_network(Trainer(training, seed, device, checkpoint=checkpoint), plan, train)

        def predict(images: AnyImages) -> npt.NDArray[np.int64]:
            precision = device.precision("auto")
            logits = predict_logits(fitted.network, images, device=device, precision=precision)
            classes: npt.NDArray[np.int64] = logits.argmax(1)
            return classes

        some = scored.take(np.random.default_rng(1).permutation(len(scored))[:DISTURBED])
        record = measure_robustness(predict, some, seed=0)
        path.unlink(missing_ok=True)
        means = {one.name: statistics.fmean(one.accuracies) for one in record.corruptions}
        weakest = next(one.accuracies[0] for one in record.corruptions if one.name == "noise")
        shares = {
            "clean": float(np.mean(predict(scored.images) == scored.labels)),
            "weakest noise": weakest,
            "mean": statistics.fmean(means.values()),
            **means,
        }
        return {
            "seconds": round(fitted.seconds, 1),
            **{name: round(100 * share, 2) for name, share in shares.items()},
        }


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


def markdown(names: list[str], rows: list[dict[str, Any]]) -> str:
    """Give the table for the documentation, in percent, means over the seeds."""
    scores = COLUMNS[COLUMNS.index("clean") :]
    lines = [f"| variant | seeds | {' | '.join(scores)} |", "|---" * (2 + len(scores)) + "|"]
    for name in names:
        own = [row for row in rows if row["variant"] == name]
        means = [statistics.fmean(float(row[score]) for row in own) for score in scores]
        values = " | ".join(f"{mean:.1f}" for mean in means)
        lines.append(f"| {name} | {len(own)} | {values} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path("robustness.csv"))
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--widths", type=int, nargs=3, default=(32, 64, 64))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--scored", choices=("held-out", "test"), default="held-out")
    given = parser.parse_args()
    measurement = Measurement(
        given.folder, given.output, given.images, given.epochs, tuple(given.widths), given.scored
    )
    rows = read_rows(given.output)
    wanted = [(name, seed) for seed in range(given.seeds) for name in given.only]
    shown = []
    for name, seed in wanted:
        key = measurement.key(VARIANTS[name], seed)
        if key not in rows:
            row = measurement.row(VARIANTS[name], seed)
            rows[key] = {"variant": name, "seed": seed, "key": key, **row}
            write_rows(given.output, rows)
        shown.append({**rows[key], "variant": name})
    print(markdown(given.only, shown))


if __name__ == "__main__":
    main()
