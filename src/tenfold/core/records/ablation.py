"""An ablation: what each ingredient of a recipe is worth."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tenfold.core.records.interval import Interval
from tenfold.core.records.record import Record


class Ingredient(Record):
    """One ingredient of a training or a network, and how to do without it.

    Models and the engine declare theirs beside the settings.
    """

    name: str
    """For ``--only`` and file names: words joined by hyphens."""
    title: str
    """For people, for example ``Label smoothing``."""
    without: str
    """What takes its place, for example ``one-hot targets``."""
    changes: dict[str, Any]
    """Settings that switch it off, by dotted name."""
    only_with: dict[str, Any] = Field(default_factory=dict)
    """Training settings that have it, by name, where being without it is not their only other
    value."""


class AblatedScores(Record):
    """The trainings without one ingredient, beside those with all."""

    ingredient: Ingredient
    accuracies: tuple[float, ...]
    """On the held-out images, one a seed."""
    seconds: float
    """Median of the trainings."""
    effect: float
    """Mean accuracy with the ingredient minus without it, over the same seeds and images."""
    interval: Interval
    """95%, of the effect: see `tenfold.metrics.crossed.crossed_interval`."""


class AblationRecord(Record):
    """What ``tenfold ablate`` found."""

    recipe: str
    data: str
    held_out: int
    """Images that no training saw: a part of the training split, the same for all."""
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    """Of the recipe as it is, one a seed."""
    seconds: float
    """Median of its trainings."""
    device: str
    precision: str
    jobs: int
    versions: dict[str, str]
    ablated: tuple[AblatedScores, ...]
    """The ingredient that is worth most first."""
