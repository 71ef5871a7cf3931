"""How test accuracy holds when the images are disturbed."""

from __future__ import annotations

from tenfold.core.records.interval import Interval
from tenfold.core.records.record import Record


class CorruptionScores(Record):
    """Accuracy under one disturbance at growing strength."""

    name: str
    description: str
    """What is done to the images, in words."""
    unit: str
    """What the strengths measure."""
    strengths: tuple[float, ...]
    accuracies: tuple[float, ...]
    """One a strength."""
    fall: float
    """Accuracy on the undisturbed images less the mean over the strengths."""
    fall_interval: Interval
    """95%, by a paired bootstrap over the images."""


class RobustnessRecord(Record):
    """Accuracy on disturbed test images."""

    count: int
    """Images used: a stratified sample of the test split, or all of it."""
    accuracy: float
    """On the same images undisturbed."""
    interval: Interval
    """Of that accuracy: 95%, Wilson."""
    corruptions: tuple[CorruptionScores, ...]
    seconds: float
