"""Fit a network in the time there is; without a budget, as the settings say."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from tenfold.budgeting.accuracy_table import NetworkSize, network_sizes
from tenfold.budgeting.choice import SizeChoice, choose_size
from tenfold.budgeting.throughput import seconds_per_image
from tenfold.core.durations import format_duration
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.records.train import BudgetRecord, EpochRecord
from tenfold.data.dataset import ImageSplit
from tenfold.engine.checkpoint import Checkpoint
from tenfold.engine.device import Device
from tenfold.engine.low_resolution import images_gained
from tenfold.engine.training_settings import TrainingSettings
from tenfold.fitting import FittedNetwork, fit_network
from tenfold.models.model import NetworkPlan

_LEAST_SECONDS = 0.1
"""Where a budget is spent before the training begins, the size is chosen for so much."""
_NOTABLE_SHARE = 0.95
"""Where less of a budget is left when the training begins, that is said."""


@dataclass(frozen=True)
class TimedFit:
    """A network fitted in a time budget, and what the budget chose; None without a budget."""

    fitted: FittedNetwork
    budget: BudgetRecord | None


def fit_in_time(
    plan: NetworkPlan,
    train: ImageSplit,
    settings: TrainingSettings,
    *,
    validation: ImageSplit | None = None,
    mirror_keeps_class: bool = True,
    seed: int,
    device: Device,
    initial_weights: Mapping[str, Tensor] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    title: str = "Training",
    on_epoch: Callable[[EpochRecord], None] | None = None,
    classes: Sequence[str] | None = None,
    started_at: float | None = None,
) -> TimedFit:
    """Choose the network's size for the time budget, if there is one, then `fit_network`.

    The budget began to run at `started_at`, on `time.monotonic`'s clock; None for now.

    The choice is kept beside the checkpoint, so that a training that goes on after a kill goes on
    with the same network. A network that starts from given weights keeps its size.
    """
    started = time.monotonic() if started_at is None else started_at
    budget = None
    if settings.budget_seconds is not None:
        kept = None if checkpoint is None else checkpoint.path.with_suffix(".budget.json")
        if kept is not None and kept.is_file():
            budget = BudgetRecord.read(kept)
        else:
            can_choose = initial_weights is None
            spent = time.monotonic() - started
            budget = _choose(plan, train, settings, device, can_choose=can_choose, spent=spent)
            if kept is not None:
                budget.write(kept)
            (progress or SilentProgress()).say(budget.sentence)
        plan, settings = _apply(budget, plan, settings)
    fitted = fit_network(
        plan,
        train,
        settings,
        validation=validation,
        mirror_keeps_class=mirror_keeps_class,
        seed=seed,
        device=device,
        initial_weights=initial_weights,
        checkpoint=checkpoint,
        progress=progress,
        title=title,
        on_epoch=on_epoch,
        started_at=started,
        classes=classes,
    )
    return TimedFit(fitted, budget)


def _choose(
    plan: NetworkPlan,
    train: ImageSplit,
    settings: TrainingSettings,
    device: Device,
    *,
    can_choose: bool,
    spent: float,
) -> BudgetRecord:
    """Measure this machine and choose the size that should give the best accuracy in the time."""
    assert settings.budget_seconds is not None
    sizes = network_sizes(plan.model) if can_choose else ()
    time_text = format_duration(settings.budget_seconds)
    if not sizes:
        return BudgetRecord(
            seconds=settings.budget_seconds,
            size=None,
            model_settings={},
            training_settings={},
            expected_epochs=None,
            sentence=(
                f"In {time_text}: model {plan.model} in the size that the settings give it, "
                f"batches of {settings.batch_size}."
            ),
        )

    def measure(size: NetworkSize) -> float:
        chosen_plan, chosen_settings = _sized(size, plan, settings)
        return seconds_per_image(chosen_plan, train, chosen_settings, device=device)

    left = settings.budget_seconds - spent
    choice = choose_size(
        sizes,
        seconds=max(left, _LEAST_SECONDS),
        gain=images_gained(
            min(plan.image_shape[:2]),
            share=settings.low_resolution_share,
            scale=settings.low_resolution_scale,
        ),
        batch_size=lambda size: _sized(size, plan, settings)[1].batch_size,
        measure=measure,
    )
    return _record(choice, len(train), settings, left)


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


def _apply(
    budget: BudgetRecord, plan: NetworkPlan, settings: TrainingSettings
) -> tuple[NetworkPlan, TrainingSettings]:
    return _changed(plan, settings, budget.model_settings, budget.training_settings)


def _sized(
    size: NetworkSize, plan: NetworkPlan, settings: TrainingSettings
) -> tuple[NetworkPlan, TrainingSettings]:
    return _changed(plan, settings, size.model_settings, _training_changes(size, settings))


def _changed(
    plan: NetworkPlan,
    settings: TrainingSettings,
    model_changes: Mapping[str, object],
    training_changes: Mapping[str, object],
) -> tuple[NetworkPlan, TrainingSettings]:
    model = NetworkPlan.parse(
        plan.model,
        {**plan.settings.plain(), **model_changes},
        image_shape=plan.image_shape,
        class_count=plan.class_count,
    )
    return model, TrainingSettings.parse({**settings.plain(), **training_changes})
