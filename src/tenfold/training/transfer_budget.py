"""A pretrained network within a time budget: its input, its head, and what is trained of it.

What each option costs and gives is in a table that was measured (`transfer_options`); how fast this
machine is, a probe of a second tells. A fine-tuning then runs on the clock, so that a wrong guess
changes its epochs and not its end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tenfold.core.records.training import BudgetRecord
from tenfold.core.text import format_duration
from tenfold.data.store import AnyImages
from tenfold.models.backbones import TIMM_PREFIX, has_weights
from tenfold.models.model import NetworkPlan, as_pixels
from tenfold.training.budget import measured_rows, row_settings
from tenfold.training.device import Device
from tenfold.training.settings import TrainingSettings

_TABLE = "transfer.csv"
_REFERENCE = {"backbone": "efficientnet-lite0", "input_size_px": 160}
"""What the probe measures: the table's costs are relative to its features of one image."""
_PROBE_IMAGES = 32
_PROBES = 2
_LEAST_SIZE_PX = 160
"""Smaller images are enlarged to this; larger inputs are for images that have the pixels."""
_MOST_VIEWS = 4
_SAFETY_SHARE = 0.04
"""Of the budget, kept back for what is not counted: reading weights, writing the result."""
_FIT_COST = 0.3
"""The fit of a head of ten classes to one row of features, folds and penalties included, relative
to computing the features."""
_LEAST_EPOCHS = 1.0
"""Of a fine-tuning; less than each image once is not begun."""


@dataclass(frozen=True)
class TransferOption:
    """One way to spend the time, as it was measured.

    Parameters
    ----------
    name
        For people.
    model_settings, training_settings
        Plain settings that make it, by name.
    forward_cost
        Of one image's features, relative to the reference.
    view_cost
        Of what the frozen stages give of one view of an image.
    step_cost
        Of one image in one epoch of fine-tuning.
    points
        (epochs of fine-tuning, errors as a share of those of the reference's head), ascending; one
        of 0 epochs for a head alone.
    """

    name: str
    model_settings: dict[str, Any]
    training_settings: dict[str, Any]
    forward_cost: float
    view_cost: float
    step_cost: float
    points: tuple[tuple[float, float], ...]

    @property
    def is_head_alone(self) -> bool:
        """Say whether nothing is fine-tuned."""
        return self.points[-1][0] == 0

    def expected_error(self, epochs: float) -> float:
        """Give the errors to expect, as a share of those of the reference's head.

        Straight between measurements, over the logarithm of the epochs, and level beyond them.
        """
        if self.is_head_alone:
            return self.points[0][1]
        places = [math.log(place) for place, _ in self.points]
        errors = [error for _, error in self.points]
        least = min(0.0, places[0])
        # A fine-tuning of next to no steps leaves the head as it is.
        return float(np.interp(math.log(max(epochs, 0.1)), [least - 1, *places], [1.0, *errors]))


def transfer_options() -> tuple[TransferOption, ...]:
    """Give the measured options, cheapest first; `benchmarks/photographs_budget.py` makes them."""
    options = [_option(name, rows) for name, rows in measured_rows(_TABLE, "option").items()]
    return tuple(sorted(options, key=lambda option: (option.step_cost, option.forward_cost)))


def _option(name: str, rows: list[dict[str, str]]) -> TransferOption:
    settings = row_settings(rows[0])
    points = sorted((float(row["epochs"]), float(row["relative_error"])) for row in rows)
    forward, view, step = (
        float(rows[0][cost]) for cost in ("forward_cost", "view_cost", "step_cost")
    )
    return TransferOption(
        name, settings["model"], settings["training"], forward, view, step, tuple(points)
    )


def is_possible(option: TransferOption, plan: NetworkPlan) -> bool:
    """Say whether an option's weights are installed and the images have the pixels for it."""
    backbone = option.model_settings["backbone"]
    most_px = max(_LEAST_SIZE_PX, min(plan.image_shape[:2]))
    return bool(has_weights(backbone) and option.model_settings["input_size_px"] <= most_px)


@dataclass(frozen=True)
class TransferWork:
    """What there is to do, in the time there is.

    Parameters
    ----------
    train_count, validation_count
        Images.
    class_count
        Classes.
    is_mirrored
        Whether mirror images may be fitted to as well.
    seconds_left
        Of the budget.
    seconds_an_image
        For the reference's features on this machine.
    """

    train_count: int
    validation_count: int
    class_count: int
    is_mirrored: bool
    seconds_left: float
    seconds_an_image: float

    def head_seconds(self, option: TransferOption) -> float:
        """Give the seconds that features and head take."""
        both = self.is_mirrored and option.model_settings.get("uses_mirrored", True)
        rows = self.train_count * (1 + both)
        features = (rows + self.validation_count) * option.forward_cost
        fit = rows * _FIT_COST * (0.5 + self.class_count / 20)
        return (features + fit) * self.seconds_an_image

    def epochs(self, option: TransferOption) -> float:
        """Give the epochs of fine-tuning that the rest of the time suffices for."""
        if option.is_head_alone:
            return 0.0
        rest = (self.seconds_left - self.head_seconds(option)) / self.seconds_an_image
        epoch = self.train_count * option.step_cost + self.validation_count * option.forward_cost
        view = self.train_count * option.view_cost
        with_all_views = (rest - _MOST_VIEWS * view) / epoch
        return max(with_all_views if with_all_views >= _MOST_VIEWS else rest / (epoch + view), 0.0)

    def fits(self, option: TransferOption) -> bool:
        """Say whether an option can be done in the time."""
        if option.is_head_alone:
            return self.head_seconds(option) <= self.seconds_left
        return self.epochs(option) >= max(_LEAST_EPOCHS, option.points[0][0] / 2)


def choose_option(
    options: Sequence[TransferOption], work: TransferWork
) -> tuple[TransferOption, bool]:
    """Give the option with the fewest errors of those that fit, and whether one does.

    Where none fits, it is the cheapest.
    """
    fitting = [option for option in options if work.fits(option)]
    if not fitting:
        return min(options, key=work.head_seconds), False
    return min(fitting, key=lambda option: option.expected_error(work.epochs(option))), True


def choose_for_transfer(
    plan: NetworkPlan, settings: TrainingSettings, work: TransferWork
) -> BudgetRecord:
    """Choose what should give the fewest errors in the time.

    Parameters
    ----------
    plan, settings
        What is asked for, the budget included.
    work
        How much there is to do, and how fast this machine is; the seconds left are all of them.
    """
    assert settings.budget_seconds is not None
    usable = work.seconds_left - _SAFETY_SHARE * settings.budget_seconds
    work = replace(work, seconds_left=usable)
    options = [option for option in transfer_options() if is_possible(option, plan)]
    if not options or str(plan.settings.plain()["backbone"]).startswith(TIMM_PREFIX):
        return _as_asked(plan, settings)
    option, fits = choose_option(options, work)
    epochs = work.epochs(option)
    model_settings: dict[str, object] = dict(option.model_settings)
    if option.is_head_alone:
        model_settings["fine_tune_epochs"] = 0
    else:
        model_settings["fine_tune_epochs"] = max(1, round(epochs))
        model_settings["fine_tune_views"] = min(_MOST_VIEWS, max(1, round(epochs)))
    return BudgetRecord(
        seconds=settings.budget_seconds,
        size=option.name,
        model_settings=model_settings,
        training_settings=dict(option.training_settings),
        expected_epochs=None if option.is_head_alone else epochs,
        sentence=_sentence(option, work, settings.budget_seconds, fits=fits),
    )


def _as_asked(plan: NetworkPlan, settings: TrainingSettings) -> BudgetRecord:
    assert settings.budget_seconds is not None
    return BudgetRecord(
        seconds=settings.budget_seconds,
        size=None,
        model_settings={},
        training_settings={},
        expected_epochs=None,
        sentence=(
            f"In {format_duration(settings.budget_seconds)}: backbone "
            f"{plan.settings.plain()['backbone']} as the settings have it, of which nothing is "
            "measured. Its features take as long as they take; only fine-tuning ends in time."
        ),
    )


def _sentence(
    option: TransferOption, work: TransferWork, budget_seconds: float, *, fits: bool
) -> str:
    head = format_duration(work.head_seconds(option))
    whole = format_duration(budget_seconds)
    size = option.model_settings["input_size_px"]
    what = f"{option.model_settings['backbone']} at {size} px"
    if not fits:
        return (
            f"The budget of {whole} is too short for {work.train_count:,} images: the cheapest "
            f"there is, the head on features of {what}, takes about {head} on this machine and is "
            "fitted all the same. Give a longer --budget."
        )
    if option.is_head_alone:
        return (
            f"In {whole} the head on features of {what} should serve best; it takes about {head}."
        )
    stages = option.model_settings.get("fine_tune_stages")
    trained = "the whole network" if stages is None else f"the last {stages} stages"
    return (
        f"In {whole} {what} should serve best: the head on its features (about {head}), then "
        f"{trained} trained for about {work.epochs(option):.2g} epochs."
    )


@torch.no_grad()
def seconds_of_an_image(
    plan: NetworkPlan, images: AnyImages, *, device: Device, precision: torch.dtype
) -> float:
    """Measure how long the reference's features of an image take; about a second."""
    network = plan.with_settings({**_REFERENCE, "pooled_maps": None}).build_any().eval()
    network.to(device.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    body = network.body.frozen
    assert body is not None
    rows = np.arange(_PROBE_IMAGES) % len(images)
    pixels = as_pixels(images[rows], device.torch_device)
    times = []
    for _ in range(1 + _PROBES):  # the first warms up
        started = time.perf_counter()
        with device.autocast(precision):
            body.features(network.normalized(pixels)).sum().item()  # which waits for a GPU
        times.append(time.perf_counter() - started)
    return min(times[1:]) / _PROBE_IMAGES
