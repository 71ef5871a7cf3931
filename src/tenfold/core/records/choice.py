"""Which recipe was chosen for a data set, and why."""

from __future__ import annotations

from typing import Literal

from tenfold.core.record import Record

ChosenRecipe = Literal["fast", "transfer"]
"""From scratch, or features of a pretrained network."""

ChoiceReason = Literal[
    "photographs",
    "many",
    "comparison",
    "few",
    "budget",
    "unknown",
    "rebalancing",
    "settings",
    "workers",
]
"""Images are photographs; or small and many of each class; or both recipes were tried; or there are
too few to try; or the time is too short for features; or no image of the sample can be read; or
classes are to be rebalanced, which a head on features is not; or workers are to share the training,
which fitting a head is not; or only this recipe's model has the
settings that were set."""


class RecipeTrial(Record):
    """What a recipe made of a few training images, on others that it had not seen."""

    error: float
    """Share of the other images whose class it got wrong."""
    expected_error: float
    """The same with all training images, by how such errors fall with their number."""


class RecipeComparison(Record):
    """Both recipes, tried on the same few training images."""

    fitted: int
    """Images that were learned from."""
    judged: int
    """Images that the errors are of."""
    fast: RecipeTrial
    transfer: RecipeTrial
    seconds: float


class ChoiceRecord(Record):
    """The recipe that was chosen where none was asked for, and what it was chosen by."""

    recipe: ChosenRecipe
    because: ChoiceReason
    source: str
    location: str | None
    budget_seconds: float | None
    train_count: int | None = None
    """Images to train on, about; None where nothing was looked at, as the fields below."""
    class_count: int | None = None
    examples_per_class: int | None = None
    """Training images that half of the classes have at least."""
    shorter_side_px: int | None = None
    """Median of a sample."""
    is_gray: bool | None = None
    backbone: str | None = None
    """Of recipe ``transfer``, where neither a time budget nor a setting chooses it."""
    image_size_px: int | None = None
    """What the backbone sees; None for recipe ``fast``, which takes images as they are read."""
    comparison: RecipeComparison | None = None
