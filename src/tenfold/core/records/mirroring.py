"""How it was decided whether a mirrored image still shows its class."""

from __future__ import annotations

from typing import Literal

from tenfold.core.records.record import Record


class MirrorRecord(Record):
    """What a small classifier made of training images and of their mirror images.

    The accuracies are of images that it had not learned from.
    """

    decided_by: Literal["measurement", "names", "default", "setting"]
    """By what was measured; by the classes' names or the default, where that leaves a doubt; or
    by the user."""
    measured: bool | None
    """What the measurement says of it; None where it leaves a doubt."""
    images: int
    """Training images that were tried."""
    plain_accuracy: float
    mirrored_accuracy: float
    """On the mirror images, with the labels of the images."""
    taught_accuracy: float
    """On the images, of a classifier that learned from their mirror images too."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Classes that look like each other's mirror images."""
