"""Images a second of one training shared by two workers, beside one process with two threads.

    python benchmarks/data_parallel.py [--recipe fast] [--images 5000] [--turns 5]

Trains the recipe's network on random images of CIFAR-10's shape, an epoch a turn, three ways in
turns: this process with two threads and whole batches, this process with micro-batches (on one
thread, as each of them is), and two processes with one thread each that share those. Start-up is
left out. Prints medians: images a second, their ratio to the first way of the same turn, and the
core-seconds that a thousand images took, which other work on the machine blurs less.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch

from tenfold.data.dataset import ImageSplit
from tenfold.models.model import fit_normalization
from tenfold.study.recipe import load_recipe
from tenfold.training.device import choose_device
from tenfold.training.fixed_sum import ALONE, WorkerGroup
from tenfold.training.loop import Trainer, Training
from tenfold.training.worker_group import MeetingPlace, joined

WORKERS = 2


def measured(
    recipe: str, count: int, micro_batches: int | None, group: WorkerGroup = ALONE
) -> tuple[float, float]:
    """Train two epochs, give the second's images a second and core-seconds for 1,000 images."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    split = ImageSplit(images, np.arange(count) % 10)
    changes = {
        "training.epochs": 2,
        "training.micro_batches": micro_batches,
        "training.low_resolution_share": 0.0,
        "training.budget_seconds": None,
        "training.averaging": "none",
    }
    settings = load_recipe(recipe).with_changes(changes)
    plan = settings.network_plan((32, 32, 3), 10)
    mean, deviation = fit_normalization(images[:1000], settings.training.normalization)
    network = plan.build(seed=0, mean=mean, standard_deviation=deviation)
    spent: list[float] = []
    trainer = Trainer(
        settings.training,
        0,
        choose_device("cpu"),
        group=group,
        on_epoch=lambda _: spent.append(time.process_time()),
    )
    torch.set_num_threads(WORKERS)  # micro-batches set their own
    training = Training(trainer, network, split)
    training.train()
    seconds = training.state.history[-1].seconds
    return count / seconds, (spent[1] - spent[0]) * 1000 / count


def be_worker(recipe: str, count: int, micro_batches: int, rank: int, port: int) -> None:
    """Train once for each line of standard input, and print what was measured."""
    for turn in sys.stdin:
        with joined("127.0.0.1", port, name=turn, rank=rank, size=WORKERS) as group:
            print(*measured(recipe, count, micro_batches, group), flush=True)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--micro-batches", type=int, default=4)
    parser.add_argument("--worker", type=int, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    work = asked.recipe, asked.images, asked.micro_batches
    if asked.worker is not None:
        be_worker(*work, *asked.worker)
        return
    meeting = MeetingPlace("127.0.0.1")
    found: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as processes:
        workers = [
            processes.enter_context(
                subprocess.Popen(
                    [sys.executable, *sys.argv, "--worker", str(rank), str(meeting.port)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for rank in range(WORKERS)
        ]

        def shared(turn: int) -> tuple[float, float]:
            for worker in workers:
                assert worker.stdin is not None
                print(turn, file=worker.stdin, flush=True)
            told = [worker.stdout.readline().split() for worker in workers if worker.stdout]
            return min(float(speed) for speed, _ in told), sum(float(cost) for _, cost in told)

        for turn in range(asked.turns):
            ways: dict[str, Callable[[], tuple[float, float]]] = {
                "one process, two threads": lambda: measured(*work[:2], None),
                "one process, micro-batches": lambda: measured(*work),
                "two workers, micro-batches": partial(shared, turn),
            }
            for name, measure in ways.items():
                value = measure()
                found.setdefault(name, []).append(value)
                print(f"{name:28} {value[0]:8.0f} images/s {value[1]:8.2f} core-s", flush=True)
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.close()
    first = next(iter(found.values()))
    print("\nmedians")
    for name, values in found.items():
        ratio = statistics.median(a[0] / b[0] for a, b in zip(values, first, strict=True))
        speed, cost = (statistics.median(one) for one in zip(*values, strict=True))
        print(
            f"{name:28} {speed:8.0f} images/s {ratio:5.2f} times {cost:8.2f} core-s a 1,000 images"
        )


if __name__ == "__main__":
    main()
