"""Measure the options that `--budget` chooses from for photographs: what each costs and gives.

    python benchmarks/photographs_budget.py FOLDER --costs
    python benchmarks/photographs_budget.py FOLDER [--options head-160 whole-160 ...] [--table]

FOLDER holds photographs in train, validation and test. Costs are of an image, of the whole forward
pass, of the frozen stages of a view and of a step of fine-tuning, relative to the forward pass of
the reference; all are timed in turns, in processor seconds of one thread, which other work on the
machine disturbs little. Accuracies are of trainings of a fixed number of epochs, seed 0, on the
validation and the test images; ``--table`` joins both into ``src/tenfold/training/transfer.csv``,
where errors are of the validation images as a share of the reference's. Each training is a row in
``benchmarks/results/photographs-budget.json``, kept at once; a killed one goes on from its
checkpoint beside that.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset, ImageSplit
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.models.model import NetworkPlan
from tenfold.study.recipe import load_recipe
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.device import choose_device
from tenfold.training.fit import fit_network
from tenfold.training.inference import predict_logits
from tenfold.training.loop import Trainer

RESULTS = Path(__file__).parent / "results" / "photographs-budget.json"
TABLE = Path(__file__).parent.parent / "src" / "tenfold" / "training" / "transfer.csv"
REFERENCE = "head-160"
STORED_PX = 224
LITE0 = {"backbone": "efficientnet-lite0", "uses_mirrored": True}
LITE1 = {"backbone": "efficientnet-lite1", "uses_mirrored": True}
LITE2 = {"backbone": "efficientnet-lite2", "uses_mirrored": True}
FINE_TUNING = {
    "batch_size": 32,
    "label_smoothing": 0.1,
    "augmentation": "large-resized-crop+colour",
}
OPTIONS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "head-128-plain": ({**LITE0, "input_size_px": 128, "uses_mirrored": False}, (0,)),
    "head-160": ({**LITE0, "input_size_px": 160}, (0,)),
    "head-224": ({**LITE0, "input_size_px": 224}, (0,)),
    "head-lite1-160": ({**LITE1, "input_size_px": 160}, (0,)),
    "head-lite1-224": ({**LITE1, "input_size_px": 224}, (0,)),
    "head-lite2-160": ({**LITE2, "input_size_px": 160}, (0,)),
    "head-lite2-224": ({**LITE2, "input_size_px": 224}, (0,)),
    "last-4-160": ({**LITE0, "input_size_px": 160, "fine_tune_stages": 4}, (3, 6)),
    "last-4-lite2-160": ({**LITE2, "input_size_px": 160, "fine_tune_stages": 4}, (3, 6)),
    "last-4-lite2-224": ({**LITE2, "input_size_px": 224, "fine_tune_stages": 4}, (3, 6)),
    "whole-160": ({**LITE0, "input_size_px": 160}, (2, 4, 8)),
    "whole-224": ({**LITE0, "input_size_px": 224}, (2, 4, 8)),
}
"""The model's settings, and the epochs of fine-tuning that are measured; 0 for a head alone."""
BATCH = 32
REPETITIONS = 6

Row = dict[str, Any]


def main() -> None:
    """Measure what is missing, and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--options", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--costs", action="store_true")
    parser.add_argument("--table", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    kept = {"costs": {}, "rows": [], **kept}
    RESULTS.parent.mkdir(exist_ok=True)
    if arguments.table:
        TABLE.write_text(table(kept))
        return
    if arguments.costs:
        torch.set_num_threads(1)
        kept["costs"] |= {name: costs(*OPTIONS[name]) for name in arguments.options}
        RESULTS.write_text(json.dumps(kept, indent=1))
        print(json.dumps(kept["costs"], indent=1))
        return
    options = SourceOptions(large_image_size_px=STORED_PX)
    data = SOURCES["folder"].load(arguments.folder, options, SilentProgress())
    done = {(row["option"], row["epochs"]) for row in kept["rows"]}
    for name in arguments.options:
        for epochs in OPTIONS[name][1]:
            if (name, epochs) not in done:
                kept["rows"].append(run(data, name, epochs))
                print(kept["rows"][-1], flush=True)
                RESULTS.write_text(json.dumps(kept, indent=1))


def run(data: ImageDataset, name: str, epochs: int) -> Row:
    """Train one option for some epochs and score it."""
    settings = load_recipe("transfer").training.model_copy(
        update={**(FINE_TUNING if epochs else {}), "weights": "last", "checkpoint_seconds": 5.0}
    )
    plan = NetworkPlan.parse(
        "pretrained",
        {**OPTIONS[name][0], "fine_tune_epochs": epochs},
        image_shape=data.train.image_shape,
        class_count=len(data.classes),
    )
    assert data.is_validation is not None
    train = data.train.take(np.flatnonzero(~data.is_validation))
    validation = data.train.take(np.flatnonzero(data.is_validation))
    device = choose_device("auto")
    checkpoint = Checkpoint(RESULTS.parent / f"{name}-{epochs}" / "state.safetensors")
    checkpoint.path.parent.mkdir(exist_ok=True)
    trainer = Trainer(settings, 0, device, checkpoint=checkpoint)
    network = fit_network(trainer, plan, train).network

    def right(split: ImageSplit) -> int:
        precision = device.precision(settings.precision)
        logits = predict_logits(network, split.images, device=device, precision=precision)
        return int((logits.argmax(1) == split.labels).sum())

    return {
        "option": name,
        "epochs": epochs,
        "validation": right(validation) / len(validation),
        "test": right(data.test) / len(data.test),
        "errors": len(validation) - right(validation),
    }


def costs(settings: dict[str, Any], epochs: tuple[int, ...]) -> dict[str, float]:
    """Give an option's costs, relative to those of the reference, timed in turns with it."""
    reference = parts(OPTIONS[REFERENCE][0])["forward"]
    ratios: dict[str, float] = {}
    for name, part in parts(settings).items():
        if name != "forward" and not any(epochs):
            continue
        pairs = [(timed(part), timed(reference)) for _ in range(REPETITIONS)]
        own, other = (min(seconds) for seconds in zip(*pairs, strict=True))
        ratios[name] = round(own / other, 2)
    return ratios


def parts(settings: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Give what an option computes, on a batch."""
    px = settings["input_size_px"]
    plan = NetworkPlan.parse("pretrained", settings, image_shape=(px, px, 3), class_count=10)
    network = plan.build_any().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    body = network.body.frozen
    images = torch.randn(BATCH, 3, px, px).contiguous(memory_format=torch.channels_last)
    is_staged = settings.get("fine_tune_stages") is not None

    @torch.no_grad()
    def forward() -> Tensor:
        features: Tensor = body.features(images)
        return features

    @torch.no_grad()
    def view() -> tuple[Tensor, Tensor]:
        lower: tuple[Tensor, Tensor] = body.lower(images)
        return lower

    lower = view() if is_staged else None

    def step() -> None:
        features = body.features(images) if lower is None else body.upper(*lower)
        body.logits(features).square().mean().backward()
        network.zero_grad()

    return {"forward": forward, **({"view": view} if is_staged else {}), "step": step}


def timed(part: Callable[[], object]) -> float:
    """Give the processor seconds that something takes: of one thread, they do not count others."""
    started = time.process_time()
    part()
    return time.process_time() - started


def table(kept: dict[str, Any]) -> str:
    """Give the table of options."""
    reference = next(row for row in kept["rows"] if row["option"] == REFERENCE)
    lines = [
        "# benchmarks/photographs_budget.py",
        "option,settings,forward_cost,view_cost,step_cost,epochs,relative_error",
    ]
    for row in sorted(kept["rows"], key=lambda row: list(OPTIONS).index(row["option"])):
        name, epochs, cost = row["option"], row["epochs"], kept["costs"][row["option"]]
        assigned = [f"model.{key}={plain(value)}" for key, value in OPTIONS[name][0].items()]
        assigned += [f"training.{key}={plain(value)}" for key, value in FINE_TUNING.items()]
        settings = ";".join(assigned if epochs else assigned[: len(OPTIONS[name][0])])
        step = cost["step"] if epochs else 0
        error = row["errors"] / reference["errors"]
        numbers = f"{cost['forward']},{cost.get('view', 0)},{step},{epochs},{error:.3g}"
        lines.append(f'{name},"{settings}",{numbers}')
    return "\n".join(lines) + "\n"


def plain(value: object) -> str:
    """Write a value as a recipe does."""
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main()
