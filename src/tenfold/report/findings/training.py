"""How the training went and what was trained: facts for the report."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Literal

from tenfold.core.records.training import EpochRecord, LayerRecord, TrainRecord

_OVERFITTING_GAP = 0.05
"""Training over validation accuracy from which on the report speaks of over-fitting."""

_SMALL_GAP = 0.02
"""Below this gap the network is not held back by over-fitting."""

_LATE_EPOCHS = 3
"""Single epochs fluctuate; late accuracies are medians over this many, in a short training over
fewer (`_late_epochs`)."""

_FLAT_LOSS = 0.02
"""Relative fall of the training loss over the last quarter below which it counts as levelled."""

_SMALL_LOSS = 0.005
"""A fall of the loss by less than this is none: there is nothing left to learn."""

_GROWN_LOSS = 0.1
"""Growth of the validation loss over its lowest value from which on it is worth a word."""

_WELL_TRAINED = 0.9
"""Late training accuracy below which a network without over-fitting under-fits."""


@dataclass(frozen=True)
class Course:
    """A training history, summed up."""

    epochs: int
    length: float
    """Epochs, where a part of one counts as a part."""
    rises: int
    """Steps from one epoch to the next in which the training accuracy rose."""
    end: Literal["nothing learned", "too short", "level", "falling"]
    """Where the training loss was at the end."""
    late_epochs: int
    """How many of them the late accuracies are medians over."""
    validation_count: int
    late_train_accuracy: float
    late_validation_accuracy: float | None
    best: tuple[tuple[int, float], ...]
    """The epochs with the best validation accuracies and these, the best first."""
    last_validation_accuracy: float | None
    loss_growth: float | None
    """By how much of it the last validation loss exceeds the lowest, where that is a lot."""
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
    def best_epoch(self) -> int | None:
        """The epoch with the best validation accuracy."""
        return self.best[0][0] if self.best else None

    @property
    def best_validation_accuracy(self) -> float | None:
        """Of that epoch."""
        return self.best[0][1] if self.best else None

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

    @property
    def fit(self) -> Literal["over", "a little over", "under", "well"] | None:
        """Whether the network over-fits, under-fits or neither; None without validation images."""
        if self.gap is None:
            return None
        if self.gap > _SMALL_GAP:
            return "over" if self.gap >= _OVERFITTING_GAP else "a little over"
        return "under" if self.late_train_accuracy < _WELL_TRAINED else "well"


def course_of(record: TrainRecord) -> Course:
    """Sum up a training history."""
    history = record.history
    accuracies = [epoch.validation_accuracy for epoch in history]
    validation = [value for value in accuracies if value is not None]
    if len(validation) != len(history):
        validation = []
    late = _late_epochs(len(history))
    late_train = median(epoch.train_accuracy for epoch in history[-late:])
    ranked = sorted(enumerate(validation), key=lambda named: (-named[1], named[0]))
    falls = [before - after for before, after in pairwise(validation)]
    fall = max(range(len(falls)), key=lambda i: falls[i]) if falls else None
    gain = _late_gain(validation)
    chance = _chance_fall(validation, record.validation_count)
    return Course(
        epochs=len(history),
        length=_length(record),
        rises=sum(b.train_accuracy > a.train_accuracy for a, b in pairwise(history)),
        end=_end(history),
        late_epochs=late,
        validation_count=record.validation_count,
        late_train_accuracy=late_train,
        late_validation_accuracy=median(validation[-late:]) if validation else None,
        best=tuple((history[place].epoch, value) for place, value in ranked[:2]),
        last_validation_accuracy=validation[-1] if validation else None,
        loss_growth=_loss_growth(history),
        is_still_improving=gain is not None and gain > max(0.005, (chance or 0) / 3),
        late_gain=gain,
        largest_fall=None if fall is None or falls[fall] <= 0 else falls[fall],
        fall_epoch=None if fall is None or falls[fall] <= 0 else history[fall + 1].epoch,
        chance_fall=chance,
    )


def _late_epochs(epochs: int) -> int:
    """Give how many epochs at the end count as late: no more than a fifth of a training.

    In a training of a few epochs each is far better than the one before, and accuracy on validation
    images may lag much behind that on training images until the learning rate has fallen.
    """
    return min(_LATE_EPOCHS, max(1, epochs // 5))


def _length(record: TrainRecord) -> float:
    length = sum(epoch.share for epoch in record.history)
    return record.epochs if math.isclose(length, record.epochs) else length


def _end(
    history: tuple[EpochRecord, ...],
) -> Literal["nothing learned", "too short", "level", "falling"]:
    if history[-1].train_loss >= history[0].train_loss:
        return "nothing learned"
    if len(history) < 4:
        return "too short"
    return "level" if _is_level(history) else "falling"


def _loss_growth(history: tuple[EpochRecord, ...]) -> float | None:
    losses = [epoch.validation_loss for epoch in history if epoch.validation_loss is not None]
    if not losses or min(losses) <= 0:
        return None
    growth = losses[-1] / min(losses) - 1
    return growth if growth > _GROWN_LOSS else None


def _late_gain(values: list[float]) -> float | None:
    third = len(values) // 3
    if third < 1:
        return None
    return fmean(values[-third:]) - fmean(values[-2 * third : -third])


def _is_level(history: tuple[EpochRecord, ...]) -> bool:
    quarter = len(history) // 4
    late = fmean(epoch.train_loss for epoch in history[-quarter:])
    before = fmean(epoch.train_loss for epoch in history[-2 * quarter : -quarter])
    return before - late < max(_FLAT_LOSS * before, _SMALL_LOSS)


def _chance_fall(values: list[float], count: int) -> float | None:
    if not values or count < 1:
        return None
    share = fmean(values)
    return 3 * math.sqrt(max(2 * share * (1 - share) / count, 0.0))


# Tried in this order against a layer's kind, in lower case: "BatchNorm2d" holds "norm".
_PARTS = {
    "Whitening": ("whiten",),
    "Convolution": ("conv",),
    "Normalisation": ("batchnorm", "groupnorm", "layernorm", "norm"),
    "Pooling": ("pool",),
    "Dropout": ("drop",),
    "Flatten": ("flatten",),
    "Activation": ("relu", "gelu", "silu", "swish", "sigmoid", "activation"),
    "Dense": ("linear", "dense"),
    "Residual sum": ("residual", "block", "basic"),
    "Concatenation": ("concat",),
    "Bias": ("bias",),
    "Softmax": ("softmax",),
    "Input": ("normalize", "rescal", "input"),
}


def parts_of(layers: Iterable[LayerRecord]) -> list[str]:
    """Name each part once, in order of first appearance; unknown kinds of layer are left out."""
    parts = (_part_of(layer.kind.lower()) for layer in layers)
    return list(dict.fromkeys(part for part in parts if part is not None))


def _part_of(kind: str) -> str | None:
    return next((part for part, names in _PARTS.items() if any(n in kind for n in names)), None)
