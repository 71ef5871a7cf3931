"""One side of `report_recipe.py`: the original report's tuned network in tenfold.

Trains an epoch for every line on standard input and answers with the seconds, validation included.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tenfold.core.progress import SilentProgress
from tenfold.core.records.training import EpochRecord
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.data.splits import holdout_split
from tenfold.models.model import NetworkPlan
from tenfold.study.recipe import load_recipe
from tenfold.training.device import choose_device
from tenfold.training.fit import fit_network
from tenfold.training.loop import Trainer


def main(folder: Path, epochs: int) -> None:
    """Train as the train stage of recipe `report` does with the original's tuned settings."""
    # "auto" takes bfloat16 where the processor has it, as a user's run does.
    settings = load_recipe("report", [f"training.epochs={epochs}"])
    dataset = SOURCES["cifar10"].load(folder, SourceOptions(), SilentProgress())
    train, validation = holdout_split(
        dataset.train.labels,
        fraction=settings.training.validation_fraction,
        method=settings.training.validation_method,
        seed=0,
    )
    device = choose_device("cpu")
    precision = device.precision(settings.training.precision)
    print("ready", torch.__version__, str(precision).removeprefix("torch."), flush=True)
    sys.stdin.readline()

    def answer(epoch: EpochRecord) -> None:
        print(f"{epoch.seconds:.4f} {epoch.validation_accuracy:.4f}", flush=True)
        if epoch.epoch < epochs:
            sys.stdin.readline()

    fit_network(
        Trainer(settings.training, 0, device, on_epoch=answer),
        NetworkPlan.parse(
            settings.model.name, settings.model.settings, image_shape=(32, 32, 3), class_count=10
        ),
        dataset.train.take(train),
        dataset.train.take(validation),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
