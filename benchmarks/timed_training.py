"""One timed training of `accuracy_for_time.py`, in a process of its own.

    python benchmarks/timed_training.py CIFAR10_FOLDER tenfold|resnet18 SECONDS SEED

Prints one line of JSON: the seconds from the images in memory to the trained network, start-up
measurement included, and the accuracy on the test images, plain and with test-time augmentation.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plain_resnet import train_resnet18
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.models.model import NetworkPlan
from tenfold.study.recipe import load_recipe
from tenfold.training.device import choose_device
from tenfold.training.fit import fit_network
from tenfold.training.inference import ViewSet, predict_logits_of_views
from tenfold.training.loop import Trainer
from tenfold.training.settings import TrainingSettings


def tenfold_run(data: ImageDataset, seconds: float, seed: int) -> dict[str, Any]:
    """Train as `tenfold train --budget` does, on all training images."""
    started = time.perf_counter()
    recipe = load_recipe("fast")
    settings = TrainingSettings.parse(
        {**recipe.training.plain(), "validation_fraction": 0.0, "budget_seconds": seconds}
    )
    plan = NetworkPlan.parse("fast", recipe.model.settings, image_shape=(32, 32, 3), class_count=10)
    device = choose_device("auto")
    fitted = fit_network(Trainer(settings, seed, device), plan, data.train)
    taken = time.perf_counter() - started

    def accuracy(views: ViewSet) -> float:
        logits = predict_logits_of_views(
            fitted.network,
            data.test.images,
            views,
            mirror_keeps_class=True,
            device=device,
            precision=device.precision("auto"),
        )
        return float(np.mean(logits.argmax(1) == data.test.labels))

    assert fitted.budget is not None
    history = fitted.history
    return {
        "seconds": round(taken, 2),
        "accuracy": accuracy("none"),
        "accuracy_with_views": accuracy("mirror-shift"),
        "size": fitted.budget.size,
        "epochs": round(sum(epoch.share for epoch in history), 2),
    }


def main(folder: Path, who: str, seconds: float, seed: int) -> None:
    """Train and answer."""
    data = SOURCES["cifar10"].load(folder, SourceOptions(), SilentProgress())
    assert data.test is not None
    run = {"tenfold": tenfold_run, "resnet18": train_resnet18}[who]
    answer = {"who": who, "budget": seconds, "seed": seed, **run(data, seconds, seed)}
    print(json.dumps({**answer, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
