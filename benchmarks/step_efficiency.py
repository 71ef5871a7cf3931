"""Say where a training step's time goes, and how near its arithmetic comes to its own best.

    python benchmarks/step_efficiency.py CIFAR10_FOLDER [--recipe fast] [--batch-size 125]
                                         [--widths 32,128,128]

CIFAR10_FOLDER is CIFAR-10's binary version, unpacked. Trains the recipe's network for some steps
at full resolution under torch's profiler and adds up, of the time between the first and the last
step, the share of convolutions and matrix products, of the augmentation and of the rest. Then
runs every convolution of the network alone, forward and backward, with the very shapes and types
of the step, and compares the seconds. Both several times in turn; medians and the spread.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile, record_function

from tenfold.core.progress import SilentProgress
from tenfold.data.augmentation import augmentation_named
from tenfold.data.dataset import ImageSplit
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.models.model import ImageNetwork, NetworkPlan, fit_normalization
from tenfold.study.recipe import load_recipe
from tenfold.training.batches import TrainingBatches
from tenfold.training.device import Device, choose_device
from tenfold.training.loop import Trainer, Training
from tenfold.training.settings import TrainingSettings

CONVOLUTIONS = ("aten::mkldnn_convolution", "aten::convolution_backward", "aten::_slow_conv2d")
PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm")
ROUNDS, REPEATS = 5, 10


class MarkedBatches(TrainingBatches):
    """Batches whose making shows in the profile."""

    def epoch(self, epoch: int, *, first_step: int = 0) -> Any:
        """Give the batches of one epoch."""
        batches = super().epoch(epoch, first_step=first_step)
        while True:
            with record_function("augmentation"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def train(network: ImageNetwork, batches: TrainingBatches, settings: TrainingSettings) -> None:
    """Train one epoch."""
    training = Training(Trainer(settings, 0, choose_device("auto")), network, batches.split)
    training.batches = batches
    training.run()


def shares(events: Any) -> dict[str, float]:
    """Give the seconds of convolutions, products and augmentation in a profile."""
    seconds = dict.fromkeys(("convolutions", "products", "augmentation"), 0.0)
    for event in events:
        if event.key in CONVOLUTIONS:
            seconds["convolutions"] += event.self_cpu_time_total / 1e6
        elif event.key in PRODUCTS:
            seconds["products"] += event.self_cpu_time_total / 1e6
        elif event.key == "augmentation":
            seconds["augmentation"] += event.cpu_time_total / 1e6
    return seconds


def record_convolutions(
    network: ImageNetwork, pixels: Tensor, device: Device, precision: torch.dtype
) -> list[tuple[nn.Conv2d, Tensor]]:
    """Give every convolution with an input of the step."""
    seen: list[tuple[nn.Conv2d, Tensor]] = []
    hooks = [
        layer.register_forward_hook(
            lambda layer, inputs, _: seen.append((layer, inputs[0].detach()))
        )
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with device.autocast(precision):
        network(pixels)
    for hook in hooks:
        hook.remove()
    return seen


def alone(
    layer: nn.Conv2d, inputs: Tensor, precision: torch.dtype, *, is_first: bool
) -> Callable[[], None]:
    """Give a function that runs one convolution forward and backward; the first one's input is
    the images, which need no gradient."""
    is_frozen = not any(parameter.requires_grad for parameter in layer.parameters())
    source = inputs.to(precision).requires_grad_(not is_first)
    weight = layer.weight.detach().to(precision).requires_grad_(not is_frozen)
    bias = None if layer.bias is None else layer.bias.detach().to(precision)

    def call() -> None:
        outputs = functional.conv2d(
            source, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups
        )
        if outputs.requires_grad:
            source.grad = weight.grad = None
            outputs.backward(outputs.detach())  # type: ignore[no-untyped-call]

    return call


def timed(calls: list[Callable[[], None]]) -> float:
    """Give the seconds of all calls, one after the other, each the median of its repeats."""
    total = 0.0
    for call in calls:
        call()
        seconds = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - started)
        total += statistics.median(seconds)
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=None)
    parser.add_argument("--widths", default=None, help="of model fast: 48,128,256")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    device: Device = choose_device("auto")
    batch_size = arguments.batch_size or recipe.training.batch_size
    settings = TrainingSettings.parse(
        {
            **recipe.training.plain(),
            "epochs": 1,
            "least_steps": 0,
            "batch_size": batch_size,
            "low_resolution_share": 0.0,
            "validation_fraction": 0.0,
        }
    )
    images = SOURCES["cifar10"].load(arguments.folder, SourceOptions(), SilentProgress()).train
    few = ImageSplit(
        np.ascontiguousarray(images.images[: batch_size * arguments.steps]),
        images.labels[: batch_size * arguments.steps],
    )
    model_settings = dict(recipe.model.settings)
    if arguments.widths:
        model_settings["widths"] = [int(width) for width in arguments.widths.split(",")]
    plan = NetworkPlan.parse(
        recipe.model.name, model_settings, image_shape=(32, 32, 3), class_count=10
    )
    mean, deviation = fit_normalization(few.images, settings.normalization)
    network = plan.build(seed=0, mean=mean, standard_deviation=deviation)
    augmentation = augmentation_named(settings.augmentation)
    batches = MarkedBatches(
        split=few,
        batch_size=batch_size,
        policy=augmentation.policy,
        mirror_keeps_class=True,
        seed=0,
        device=device.torch_device,
        mixing=augmentation.mixing,
    )
    train(network, batches, settings)
    pixels, _ = next(iter(batches.epoch(0)))
    precision = device.precision(settings.precision)
    calls = [
        alone(*pair, precision, is_first=place == 0)
        for place, pair in enumerate(record_convolutions(network, pixels, device, precision))
    ]
    rows: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            train(network, batches, settings)
            row = {"step": (time.perf_counter() - started) / arguments.steps}
        row |= {
            name: seconds / arguments.steps
            for name, seconds in shares(profiled.key_averages()).items()
        }
        started = time.perf_counter()
        train(network, batches, settings)
        row["unprofiled step"] = (time.perf_counter() - started) / arguments.steps
        row["convolutions alone"] = timed(calls)
        rows.append(row)
    print(
        f"{platform.machine()}, torch {torch.__version__}, {device.threads} threads, "
        f"{precision}; recipe {arguments.recipe}, model {recipe.model.name} {model_settings}, "
        f"batch {batch_size}; "
        f"{ROUNDS} rounds of {arguments.steps} steps"
    )
    for name in rows[0]:
        values = sorted(1e3 * row[name] for row in rows)
        print(f"{name:20} {statistics.median(values):8.2f} ms ({values[0]:.2f}–{values[-1]:.2f})")
    share = [(row["convolutions"] + row["products"]) / row["step"] for row in rows]
    rate = [row["convolutions alone"] / row["convolutions"] for row in rows]
    making = [row["augmentation"] / row["step"] for row in rows]
    for name, values in (
        ("convolutions and products, share of the step", share),
        ("convolutions' rate, of their rate alone", rate),
        ("augmentation, share of the step", making),
    ):
        print(f"{name:46} {statistics.median(values):.1%} ({min(values):.1%}–{max(values):.1%})")


if __name__ == "__main__":
    main()
