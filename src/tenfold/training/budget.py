"""A training within a time budget: the network's size chosen from a measured table."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tenfold.core.records.training import BudgetRecord
from tenfold.core.settings import parse_assignment, with_values
from tenfold.core.text import format_duration
from tenfold.models.model import NetworkPlan
from tenfold.training.batches import images_gained
from tenfold.training.settings import TrainingSettings

PROBE_STEPS = 4
"""Steps of a probe: two to warm up (memory, kernels), two to time."""
_PROBE_SHARE = 0.03
"""Share of the budget that all probes together may take."""
_LEAST_SECONDS = 0.1
"""Where a budget is spent before the training begins, the size is chosen for so much."""
_NOTABLE_SHARE = 0.95
"""Where less of a budget is left when the training begins, that is said."""


def choose_for_budget(
    plan: NetworkPlan,
    settings: TrainingSettings,
    sizes: Sequence[NetworkSize],
    *,
    train_count: int,
    spent_seconds: float,
    measure: Callable[[NetworkPlan, TrainingSettings], float],
) -> BudgetRecord:
    """Choose what should give the best accuracy in the time, measuring this machine.

    Parameters
    ----------
    plan, settings
        What is asked for, the budget included.
    sizes
        Sizes of the network to choose from, cheapest first; without any it stays as it is.
    train_count
        Training images.
    spent_seconds
        Of the budget, before now.
    measure
        Gives the seconds an image takes in training, at full resolution.
    """
    assert settings.budget_seconds is not None
    if not sizes:
        return BudgetRecord(
            seconds=settings.budget_seconds,
            size=None,
            model_settings={},
            training_settings={},
            expected_epochs=None,
            sentence=(
                f"In {format_duration(settings.budget_seconds)}: model {plan.model} in the size "
                f"that the settings give it, batches of {settings.batch_size}."
            ),
        )

    def sized(size: NetworkSize) -> tuple[NetworkPlan, TrainingSettings]:
        changes = _training_changes(size, settings)
        return _changed(plan, settings, size.model_settings, changes)

    left = settings.budget_seconds - spent_seconds
    choice = choose_size(
        sizes,
        seconds=max(left, _LEAST_SECONDS),
        gain=images_gained(
            min(plan.image_shape[:2]),
            share=settings.low_resolution_share,
            scale=settings.low_resolution_scale,
        ),
        batch_size=lambda size: sized(size)[1].batch_size,
        measure=lambda size: measure(*sized(size)),
    )
    return _record(choice, train_count, settings, left)


def with_budget(
    budget: BudgetRecord, plan: NetworkPlan, settings: TrainingSettings
) -> tuple[NetworkPlan, TrainingSettings]:
    """Give plan and settings with what the budget chose."""
    return _changed(plan, settings, budget.model_settings, budget.training_settings)


def _changed(
    plan: NetworkPlan,
    settings: TrainingSettings,
    model_changes: Mapping[str, object],
    training_changes: Mapping[str, object],
) -> tuple[NetworkPlan, TrainingSettings]:
    training = TrainingSettings.parse({**settings.plain(), **training_changes})
    return plan.with_settings(model_changes), training


def _training_changes(size: NetworkSize, settings: TrainingSettings) -> dict[str, object]:
    """Give a size's training settings, but no learning rate if the study has one of its own."""
    changes = dict(size.training_settings)
    if settings.learning_rate is not None:
        changes.pop("learning_rate", None)
    return changes


def _record(
    choice: SizeChoice, train_count: int, settings: TrainingSettings, left: float
) -> BudgetRecord:
    assert settings.budget_seconds is not None
    size = choice.size
    training_settings = _training_changes(size, settings)
    epochs = choice.images_shown / train_count
    written = ", ".join(
        f"{name} {value}" for name, value in (size.model_settings | training_settings).items()
    )
    whole = format_duration(settings.budget_seconds)
    network = f"size {size.name} of the network ({written})"
    is_spent = left < _NOTABLE_SHARE * settings.budget_seconds
    if left <= _LEAST_SECONDS or choice.images_shown < 1:
        sentence = (
            f"The budget of {whole} counts from the command's start and is over before the "
            f"training begins: {network} is trained for one step alone. Give a longer --budget."
        )
    else:
        span = f"the {format_duration(left)} left of {whole}" if is_spent else whole
        sentence = (
            f"In {span} this machine can show about {choice.images_shown:,.0f} images "
            f"({epochs:.3g} epochs) to {network}, which should serve best."
        )
    return BudgetRecord(
        seconds=settings.budget_seconds,
        size=size.name,
        model_settings=size.model_settings,
        training_settings=training_settings,
        expected_epochs=epochs,
        sentence=sentence,
    )


def choose_size(
    sizes: Sequence[NetworkSize],
    *,
    seconds: float,
    gain: float,
    batch_size: Callable[[NetworkSize], int],
    measure: Callable[[NetworkSize], float],
) -> SizeChoice:
    """Choose by probing: the smallest size first, then whichever looks best, until it is measured.

    Parameters
    ----------
    sizes
        Candidates, cheapest first.
    seconds
        Time for the training.
    gain
        How many times as many images are shown thanks to low resolution (`images_gained`).
    batch_size
        Gives a size's batch size.
    measure
        Probes a size: gives the seconds an image takes at full resolution.
    """
    measured: dict[str, float] = {sizes[0].name: measure(sizes[0])}
    spent = measured[sizes[0].name] * PROBE_STEPS * batch_size(sizes[0])
    while True:
        best = max(
            (_choice(size, sizes, measured, seconds - spent, gain) for size in sizes),
            key=lambda choice: choice.expected_accuracy,
        )
        if best.size.name in measured:
            return best
        cost = _estimate(best.size, sizes, measured) * PROBE_STEPS * batch_size(best.size)
        if spent + cost > _PROBE_SHARE * seconds:
            return best
        measured[best.size.name] = measure(best.size)
        spent += cost


@dataclass(frozen=True)
class SizeChoice:
    """The size that was chosen and what is expected of it.

    Parameters
    ----------
    size
        The size.
    images_shown
        Images that it will be shown, in the time there is.
    expected_accuracy
        On a data set such as CIFAR-10, from the measured table.
    """

    size: NetworkSize
    images_shown: float
    expected_accuracy: float


def _choice(
    size: NetworkSize,
    sizes: Sequence[NetworkSize],
    measured: dict[str, float],
    seconds: float,
    gain: float,
) -> SizeChoice:
    images = gain * max(seconds, 0.0) / _estimate(size, sizes, measured)
    return SizeChoice(size, images, 1 - size.expected_error(images))


def _estimate(size: NetworkSize, sizes: Sequence[NetworkSize], measured: dict[str, float]) -> float:
    """Give the seconds an image takes: as measured, or in proportion to the nearest measured."""
    nearest = min(
        (other for other in sizes if other.name in measured),
        key=lambda other: abs(other.relative_cost - size.relative_cost),
    )
    return measured[nearest.name] * size.relative_cost / nearest.relative_cost


@dataclass(frozen=True)
class NetworkSize:
    """One size of a model, as it was measured.

    Parameters
    ----------
    name
        ``S``, ``M``, ...
    model_settings, training_settings
        Plain settings that make this size, by name.
    relative_cost
        Seconds an image, on the machine that measured, relative to the smallest size.
    points
        (images shown, share of held-out images that were wrong), ascending; two at least.
    """

    name: str
    model_settings: dict[str, Any]
    training_settings: dict[str, Any]
    relative_cost: float
    points: tuple[tuple[float, float], ...]

    def expected_error(self, images_shown: float) -> float:
        """Give the error to expect on a data set such as CIFAR-10.

        Between measurements, and for half an octave beyond them, it follows the straight line of
        log error against log images (errors fall as a power of the data: Hestness et al.,
        arXiv 1712.00409). Farther out it stays level, as a small network is full at some time.
        With fewer images than were measured, it grows as they shrink: the flat line of a long
        training would promise too much of a short one.
        """
        fewest, error = self.points[0]
        if images_shown < fewest:
            return min(1.0, error * fewest / max(images_shown, 1.0))
        places = [math.log(max(images, 1.0)) for images, _ in self.points]
        errors = [math.log(error) for _, error in self.points]
        beyond = places[-1] + 0.5 * math.log(2)
        place = min(math.log(max(images_shown, 1.0)), beyond)
        segment = sum(place > known for known in places[1:-1])
        slope = (errors[segment + 1] - errors[segment]) / (places[segment + 1] - places[segment])
        return min(1.0, math.exp(errors[segment] + slope * (place - places[segment])))


def network_sizes(model: str) -> tuple[NetworkSize, ...]:
    """Give the measured sizes of a model, cheapest first; empty for a model without a table.

    The table is ``MODEL.csv`` beside this module; `benchmarks/accuracy_table.py` makes it.
    """
    sizes = [_size(name, rows) for name, rows in measured_rows(f"{model}.csv", "size").items()]
    return tuple(sorted(sizes, key=lambda size: size.relative_cost))


def measured_rows(table: str, key: str) -> dict[str, list[dict[str, str]]]:
    """Give a measured table beside this module, its rows by a column; empty if there is none."""
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    place = resources.files("tenfold.training") / table
    if place.is_file():
        lines = place.read_text("utf-8").splitlines()
        for row in csv.DictReader(line for line in lines if not line.startswith("#")):
            rows[row[key]].append(row)
    return rows


def row_settings(row: dict[str, str]) -> dict[str, Any]:
    """Give the plain settings, ``model`` and ``training``, that a measured row was made with."""
    changes = dict(parse_assignment(text) for text in row["settings"].split(";"))
    return with_values({"model": {}, "training": {}}, changes)


def _size(name: str, rows: list[dict[str, str]]) -> NetworkSize:
    settings = row_settings(rows[0])
    points = sorted((float(row["images_shown"]), 1 - float(row["accuracy"])) for row in rows)
    return NetworkSize(
        name=name,
        model_settings=settings["model"],
        training_settings=settings["training"],
        relative_cost=float(rows[0]["relative_cost"]),
        points=tuple(points),
    )
