"""What the learning-rate finder measured."""

from __future__ import annotations

from tenfold.core.records.record import Record


class RateStep(Record):
    """One step of a sweep."""

    learning_rate: float
    loss: float
    """Of the step's batch, before its update."""
    smoothed_loss: float
    """Exponential moving average of the losses so far."""


class RateSweepRecord(Record):
    """Losses over a rising learning rate, and the rate that they suggest."""

    model: str
    optimizer: str
    data: str
    batch_size: int
    default_rate: float
    """What the training would take: the recipe's rate, or the optimiser's own."""
    steps: tuple[RateStep, ...]
    is_diverged: bool
    """Whether the loss ended the sweep, before the highest rate was tried."""
    lowest_rate: float
    """Where the smoothed loss is lowest."""
    steepest_rate: float
    """Where it falls most for a factor on the rate."""
    suggested_rate: float
    seconds: float
