"""A training history in a few numbers, on which sentences and recommendations rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from tenfold.core.records.train import EpochRecord, TrainRecord

OVERFITTING_GAP = 0.05
"""Training over validation accuracy from which on the report speaks of over-fitting."""

SMALL_GAP = 0.02
"""Below this gap the network is not held back by over-fitting."""

LATE_EPOCHS = 3
"""Single epochs fluctuate; late accuracies are medians over this many, in a short training over
fewer (`late_epochs`)."""

_FLAT_LOSS = 0.02
"""Relative fall of the training loss over the last quarter below which it counts as levelled."""


_SMALL_LOSS = 0.005
"""A fall of the loss by less than this is none: there is nothing left to learn."""


@dataclass(frozen=True)
class Course:
    """A training history, summed up."""

    epochs: int
    late_epochs: int
    """How many of them the late accuracies are medians over."""
    validation_count: int
    late_train_accuracy: float
    late_validation_accuracy: float | None
    best_epoch: int | None
    best_validation_accuracy: float | None
    last_validation_accuracy: float | None
    loss_is_level: bool
    is_still_improving: bool
    """The validation accuracy was still rising when training stopped."""
    late_gain: float | None
    """Mean validation accuracy of the last third less that of the third before."""
    largest_fall: float | None
    """Largest loss of validation accuracy from one epoch to the next."""
    fall_epoch: int | None
    """The epoch after that fall."""
    chance_fall: float | None
    """A fall that chance alone explains: three standard errors of a difference of two shares."""

    @property
    def gap(self) -> float | None:
        """Late training less late validation accuracy."""
        if self.late_validation_accuracy is None:
            return None
        return self.late_train_accuracy - self.late_validation_accuracy

    @property
    def fluctuates(self) -> bool:
        """Whether validation accuracy fell, once at least, by more than chance explains."""
        return (
            self.largest_fall is not None
            and self.chance_fall is not None
            and self.largest_fall > self.chance_fall
        )


def course_of(record: TrainRecord) -> Course:
    """Sum up a training history."""
    history = record.history
    accuracies = [epoch.validation_accuracy for epoch in history]
    validation = [value for value in accuracies if value is not None]
    if len(validation) != len(history):
        validation = []
    late = late_epochs(len(history))
    late_train = median(epoch.train_accuracy for epoch in history[-late:])
    best = max(range(len(validation)), key=lambda i: validation[i]) if validation else None
    falls = [before - after for before, after in pairwise(validation)]
    fall = max(range(len(falls)), key=lambda i: falls[i]) if falls else None
    gain = _late_gain(validation)
    chance = _chance_fall(validation, record.validation_count)
    return Course(
        epochs=len(history),
        late_epochs=late,
        validation_count=record.validation_count,
        late_train_accuracy=late_train,
        late_validation_accuracy=median(validation[-late:]) if validation else None,
        best_epoch=None if best is None else history[best].epoch,
        best_validation_accuracy=None if best is None else validation[best],
        last_validation_accuracy=validation[-1] if validation else None,
        loss_is_level=_is_level(history),
        is_still_improving=gain is not None and gain > max(0.005, (chance or 0) / 3),
        late_gain=gain,
        largest_fall=None if fall is None or falls[fall] <= 0 else falls[fall],
        fall_epoch=None if fall is None or falls[fall] <= 0 else history[fall + 1].epoch,
        chance_fall=chance,
    )


def late_epochs(epochs: int) -> int:
    """Give how many epochs at the end count as late: no more than a fifth of a training.

    In a training of a few epochs each is far better than the one before, and accuracy on validation
    images may lag much behind that on training images until the learning rate has fallen.
    """
    return min(LATE_EPOCHS, max(1, epochs // 5))


def _late_gain(values: list[float]) -> float | None:
    third = len(values) // 3
    if third < 1:
        return None
    return fmean(values[-third:]) - fmean(values[-2 * third : -third])


def _is_level(history: tuple[EpochRecord, ...]) -> bool:
    quarter = len(history) // 4
    if quarter < 1:
        return False
    late = fmean(epoch.train_loss for epoch in history[-quarter:])
    before = fmean(epoch.train_loss for epoch in history[-2 * quarter : -quarter])
    return before - late < max(_FLAT_LOSS * before, _SMALL_LOSS)


def _chance_fall(values: list[float], count: int) -> float | None:
    if not values or count < 1:
        return None
    share = fmean(values)
    return 3 * math.sqrt(max(2 * share * (1 - share) / count, 0.0))
