"""How far a training is and when it ends: counted in steps, or by the clock."""

from __future__ import annotations

import time
from typing import Protocol

import torch

_SMOOTHING = 0.2  # weight of the newest step in the running mean of a step's seconds


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
            weight = 1.0 if is_first else _SMOOTHING
            self._seconds_per_step += weight * (newest - self._seconds_per_step)
            self._last = (steps, elapsed)
        return elapsed
