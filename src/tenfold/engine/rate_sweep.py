"""A learning rate that rises from step to step, and the losses that it gave."""

from __future__ import annotations

import math

_DIVERGED = 4.0  # times the lowest smoothed loss, as fastai's finder has it
_SMOOTHING = 0.9  # what the smoothed loss keeps of itself at a step


class SweepOver(Exception):
    """The last rate was tried, or the loss has grown too large; nobody's mistake."""


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
        return self._low * self._ratio**step

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
