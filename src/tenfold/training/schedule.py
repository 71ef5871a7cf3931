"""Which learning rate belongs where in a training, and how far it is: by steps, or by a clock."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Protocol

import torch

from tenfold.training.settings import ScheduleName

WARM_UP_SHARE = 0.2  # as in the fast CIFAR-10 recipes that use a triangular schedule


def learning_rate_factor(schedule: ScheduleName, progress: float) -> float:
    """Give the factor on the highest learning rate.

    Parameters
    ----------
    schedule
        Name of the schedule.
    progress
        Share of the training that is done, 0 to 1; it may come from steps or from a clock.
        ``plateau`` does not depend on it (see `plateau_factor`).

    Returns
    -------
    float
        Between 0 and 1.
    """
    match schedule:
        case "constant" | "plateau":
            return 1.0
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        case "linear":
            return 1 - progress
        case "one-cycle":
            if progress < WARM_UP_SHARE:
                return progress / WARM_UP_SHARE
            return (1 - progress) / (1 - WARM_UP_SHARE)


_LEAST_FALL = 1e-4  # of the loss; Keras' default (keras.io/api/callbacks/reduce_lr_on_plateau)


def plateau_factor(losses: Iterable[float | None], *, factor: float, patience: int) -> float:
    """Give the factor on the highest learning rate after some epochs.

    It follows from the losses alone, so a resumed training needs nothing else to go on alike.

    Parameters
    ----------
    losses
        Validation loss of every epoch so far; None and NaN are no improvement.
    factor
        What the rate is multiplied by at each reduction, above 0 and below 1.
    patience
        Epochs in a row without a lower loss before a reduction; they count anew after it.

    Returns
    -------
    float
        A power of `factor`; 1 before the first reduction.
    """
    best, waited, reductions = float("inf"), 0, 0
    for loss in losses:
        if loss is not None and loss < best - _LEAST_FALL:
            best, waited = loss, 0
            continue
        waited += 1
        if waited >= patience:
            reductions, waited = reductions + 1, 0
    return float(factor**reductions)


def has_stalled(*, epochs: int, best_epoch: int | None, patience: int | None) -> bool:
    """Say whether enough epochs passed since the best one.

    Parameters
    ----------
    epochs
        Epochs that are complete.
    best_epoch
        Index of the best of them, from 0; None where nothing was validated.
    patience
        Epochs in a row without a better one that end the training; None never ends it.
    """
    if patience is None or best_epoch is None:
        return False
    return epochs - 1 - best_epoch >= patience


class Pace(Protocol):
    """What a training asks before every step."""

    unit: str
    """What progress is counted in: ``steps`` or ``seconds``."""
    total: float
    """Units of the whole training."""

    def done(self, steps: int) -> float:
        """Give the units that are done when `steps` steps are."""

    def progress(self, steps: int) -> float:
        """Give the share of the training, 0 to 1, that the middle of the next step is at."""

    def is_over(self, steps: int) -> bool:
        """Say whether the training ends before the next step."""

    def elapsed(self) -> float:
        """Give the seconds that count against the training's budget; 0 if it has none."""

    def note_validation(self, seconds: float) -> None:
        """Learn how long a validation takes, which the last one will take again."""


class StepPace:
    """A fixed number of steps: the same learning rates and the same weights in every run."""

    unit = "steps"

    def __init__(self, total_steps: int) -> None:
        self.total = float(total_steps)

    def done(self, steps: int) -> float:
        """Give the steps."""
        return steps

    def progress(self, steps: int) -> float:
        """Give the middle of the next step, so that neither the first nor the last is at zero."""
        return (steps + 0.5) / self.total

    def is_over(self, steps: int) -> bool:
        """Say whether all steps are done."""
        return steps >= self.total

    def elapsed(self) -> float:
        """Give 0: nothing counts seconds here."""
        return 0.0

    def note_validation(self, seconds: float) -> None:
        """Do nothing."""
        del seconds


_NEWEST_SHARE = 0.2  # of the newest step in the running mean of a step's seconds


class ClockPace:
    """A time budget: the training ends, its schedule at zero, when the time is up.

    Parameters
    ----------
    seconds
        The whole budget, start-up included.
    spent_seconds
        What was spent before now: start-up, and earlier attempts at the same training.
    steps_kept_back
        Time that the last validation takes, in training steps. It is kept back at the end; when a
        validation has been measured (`note_validation`), the longest one counts.
    more_steps_kept_back
        Time for what is done beside that validation, in training steps.
    device
        Waited for before the clock is read; a GPU's work is queued, not done, when a call returns.
    """

    unit = "seconds"

    def __init__(
        self,
        seconds: float,
        *,
        spent_seconds: float,
        steps_kept_back: float,
        more_steps_kept_back: float = 0.0,
        device: torch.device,
    ) -> None:
        self.total = seconds
        self._device = device
        self._started = time.monotonic() - spent_seconds
        self._seconds_per_step = 0.0
        self._last: tuple[int, float] | None = None
        self._steps_kept_back = steps_kept_back
        self._more_steps_kept_back = more_steps_kept_back
        self._validation_seconds = 0.0

    def note_validation(self, seconds: float) -> None:
        """Learn how long a validation takes."""
        self._validation_seconds = max(self._validation_seconds, seconds)

    def elapsed(self) -> float:
        """Give the seconds spent so far."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        elif self._device.type == "mps":
            torch.mps.synchronize()
        return time.monotonic() - self._started

    def done(self, steps: int) -> float:
        """Give the seconds spent, at most the budget."""
        del steps
        return min(self.elapsed(), self.total)

    def progress(self, steps: int) -> float:
        """Give the share of the time that will be up in the middle of the next step."""
        middle = self._note(steps) + self._seconds_per_step / 2
        return min(max(middle / self._end(), 0.0), 1.0)

    def is_over(self, steps: int) -> bool:
        """Say whether more than half of the next step would be late; one step is always done."""
        elapsed = self._note(steps)
        return steps > 0 and elapsed + self._seconds_per_step / 2 >= self._end()

    def _end(self) -> float:
        kept_back = self._validation_seconds or self._steps_kept_back * self._seconds_per_step
        kept_back += self._more_steps_kept_back * self._seconds_per_step
        return max(self.total - kept_back, 1e-3)

    def _note(self, steps: int) -> float:
        """Read the clock; where steps were done since, learn how long one takes."""
        elapsed = self.elapsed()
        if self._last is None:
            self._last = (steps, elapsed)
        elif steps > self._last[0]:
            newest = (elapsed - self._last[1]) / (steps - self._last[0])
            is_first = self._seconds_per_step == 0
            weight = 1.0 if is_first else _NEWEST_SHARE
            self._seconds_per_step += weight * (newest - self._seconds_per_step)
            self._last = (steps, elapsed)
        return elapsed


_SMOOTHING = 0.9  # what the smoothed loss keeps of itself at a step
_DIVERGED = 4.0  # times the lowest smoothed loss, as fastai's finder has it


class RateSweep:
    """Learning rates from low to high, in equal ratios, one a step (arXiv 1506.01186).

    Parameters
    ----------
    low, high
        First and last rate.
    steps
        How many rates are tried, at least 2.
    peak
        The rate that the optimiser was made with; `factor` is relative to it.
    """

    def __init__(self, *, low: float, high: float, steps: int, peak: float) -> None:
        self._low = low
        self._ratio = (high / low) ** (1 / (steps - 1))
        self._steps = steps
        self._peak = peak
        self._mean = 0.0
        self.losses: list[float] = []
        """Loss of each step, before its update."""
        self.smoothed: list[float] = []
        """Exponential moving average of the losses, corrected for its start."""

    def rate(self, step: int) -> float:
        """Give the rate of a step, counted from 0."""
        return float(self._low * self._ratio**step)

    @property
    def factor(self) -> float:
        """Give the factor on the optimiser's learning rates for the next step."""
        return self.rate(len(self.losses)) / self._peak

    def note(self, loss: float) -> None:
        """Take in a step's loss.

        Raises
        ------
        SweepOver
            After the last rate, or when the loss is four times the lowest or no number.
        """
        if not math.isfinite(loss):
            raise SweepOver
        self.losses.append(loss)
        self._mean = _SMOOTHING * self._mean + (1 - _SMOOTHING) * loss
        self.smoothed.append(self._mean / (1 - _SMOOTHING ** len(self.losses)))
        if len(self.losses) == self._steps or self.smoothed[-1] > _DIVERGED * min(self.smoothed):
            raise SweepOver


class SweepOver(Exception):
    """The last rate was tried, or the loss has grown too large; nobody's mistake."""
