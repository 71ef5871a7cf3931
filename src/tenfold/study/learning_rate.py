"""Find a learning rate by a short training whose rate rises (Smith 2015, arXiv 1506.01186)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from tenfold.core.errors import SettingsError, TrainingError
from tenfold.core.records.training import RateStep, RateSweepRecord
from tenfold.data.dataset import ImageSplit
from tenfold.models.model import NetworkPlan
from tenfold.training.fit import fit_network
from tenfold.training.loop import Trainer
from tenfold.training.optimizers import peak_learning_rate
from tenfold.training.schedule import RateSweep, SweepOver

_BELOW_DEFAULT, _ABOVE_DEFAULT = 1e-3, 1e2
_FEWEST_STEPS = 20
_SLOPE_STEPS = 5  # on either side of the rate whose slope is taken


def find_learning_rate(
    trainer: Trainer,
    plan: NetworkPlan,
    train: ImageSplit,
    *,
    data: str,
    low: float | None = None,
    high: float | None = None,
    steps: int = 150,
) -> RateSweepRecord:
    """Train a throw-away network while the learning rate rises, and suggest a rate.

    Optimiser, batch size, augmentation and loss are the trainer's; its schedule, low resolution and
    averages are left out. Validation and test images have no part in it.

    Parameters
    ----------
    trainer
        How to train.
    plan
        What to build.
    train
        Training images.
    data
        What they are, for people.
    low, high
        First and last rate; None for a thousandth and a hundred times of the rate that the
        training would take.
    steps
        Rates to try, one a step.

    Raises
    ------
    SettingsError
        If the range is none, or there are too few steps.
    TrainingError
        If the loss is no number, or never falls.
    """
    training = trainer.settings
    default = peak_learning_rate(training)
    low = default * _BELOW_DEFAULT if low is None else low
    high = default * _ABOVE_DEFAULT if high is None else high
    _check(low, high, steps)
    swept = training.model_copy(
        update={
            "epochs": 1,
            "least_steps": steps,
            "budget_seconds": None,
            "low_resolution_share": 0.0,
            "schedule": "constant",
            "averaging": "none",
            "early_stopping_patience": None,
            "weights": "last",
        }
    )
    sweep = RateSweep(low=low, high=high, steps=steps, peak=default)
    started = time.perf_counter()
    with suppress(SweepOver):
        fit_network(
            replace(trainer, settings=swept, title="Learning rates", sweep=sweep), plan, train
        )
    rates = [sweep.rate(step) for step in range(len(sweep.losses))]
    lowest, steepest = _places(rates, sweep.smoothed)
    return RateSweepRecord(
        model=plan.model,
        optimizer=training.optimizer,
        data=data,
        batch_size=training.batch_size,
        default_rate=default,
        steps=tuple(
            RateStep(learning_rate=rate, loss=loss, smoothed_loss=smoothed)
            for rate, loss, smoothed in zip(rates, sweep.losses, sweep.smoothed, strict=True)
        ),
        is_diverged=len(rates) < steps,
        lowest_rate=rates[lowest],
        steepest_rate=rates[steepest],
        suggested_rate=_rounded(rates[steepest]),
        seconds=time.perf_counter() - started,
    )


def _check(low: float, high: float, steps: int) -> None:
    if not 0 < low < high:
        raise SettingsError(
            f"The learning rates rise from --low to --high, so 0 < low < high; got {low:g} and "
            f"{high:g}."
        )
    if steps < _FEWEST_STEPS:
        raise SettingsError(
            f"--steps is {steps}; a curve that says something needs at least {_FEWEST_STEPS}."
        )


def _places(rates: Sequence[float], smoothed: Sequence[float]) -> tuple[int, int]:
    """Give the steps of the lowest smoothed loss and of its steepest fall before that."""
    lowest = int(np.argmin(smoothed)) if smoothed else 0
    if lowest < 2 * _SLOPE_STEPS:
        ended = f"after {len(rates)} steps" if rates else "at the first step"
        raise TrainingError(
            f"The loss did not fall before the sweep ended {ended}: even its lowest rate is too "
            "high, or the network does not learn. Begin lower (--low)."
        )
    losses = np.asarray(smoothed[: lowest + 1])
    falls = losses[: -2 * _SLOPE_STEPS] - losses[2 * _SLOPE_STEPS :]
    return lowest, _SLOPE_STEPS + int(np.argmax(falls))


def _rounded(rate: float) -> float:
    """Round to two digits: the curve knows no more."""
    return float(f"{rate:.1e}")
