"""Which recipe suits a data set, where the user names none.

Photographs get pretrained features. Smaller images get the recipe that errs less, which depends on
how many there are and on how like photographs they are; so both are tried on a few of the training
images, unless there are so many small ones of each class that training from scratch is sure to win.
`docs/decisions/037-the-right-choice-by-default.md` has the measurements.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from tenfold.core.progress import Progress
from tenfold.core.randomness import derive_seed
from tenfold.core.records.choice import (
    ChoiceReason,
    ChoiceRecord,
    ChosenRecipe,
    RecipeComparison,
    RecipeTrial,
)
from tenfold.core.settings import recipe_values
from tenfold.data.dataset import ImageDataset, ImageSplit
from tenfold.data.sources.look import DataLook
from tenfold.data.splits import (
    exact_groups,
    joined_groups,
    possible_holdout,
    regrouped,
    stratified_sample,
)
from tenfold.data.store import images_at_size
from tenfold.models.model import MODELS, NetworkPlan
from tenfold.study.recipe import load_recipe
from tenfold.training.device import choose_device
from tenfold.training.fit import fit_network
from tenfold.training.inference import predict_logits
from tenfold.training.loop import Trainer

CHOSEN_RECIPES: tuple[ChosenRecipe, ...] = ("transfer", "fast")

PHOTOGRAPH_PX = 192
"""From this median of the shorter sides on, images are photographs, or as large."""
SMALL_PX = 96
"""Below it, images are small: decoding all of them takes no time, and many may win from scratch."""
MOST_LARGE_COMPARED = 10_000
"""Of more images of `SMALL_PX` and more none are tried: decoding them all would take too long."""
MANY_PER_CLASS = 2500
"""From so many examples of each class on, small images are learned from scratch."""
MOST_COMPARED = 50_000
"""Of more small images none are tried: reading them all to draw a few would take too long."""
FEATURES_PER_SECOND = 100
"""Images and mirror images together, on one slow core: what a budget is compared with."""
_TRIED_IMAGES = 600
_JUDGED_SHARE = 1 / 3
_LEAST_JUDGED = 20
"""Fewer do not tell two recipes apart."""
_TRIED_SIDE_PX = 32
"""Larger images are made so small for the network that is tried from scratch: time."""
_TRIED_NETWORK: dict[str, Any] = {"widths": [16, 64, 64]}
_TRIED_STEPS = 100
_FALL: dict[ChosenRecipe, float] = {"fast": 0.38, "transfer": 0.15}
"""An error on CIFAR-10 falls as this power of the number of training images (docs/transfer.md)."""


@dataclass(frozen=True)
class Asked:
    """What the user said that a choice has to heed.

    Parameters
    ----------
    source, location
        The data set.
    budget_seconds
        Time to train in; None for no limit.
    is_rebalanced
        Whether classes are to be rebalanced.
    is_shared
        Whether several workers are to share the training.
    recipe
        The one whose model alone has the settings that were set; None where none says it.
    seed
        Of the images that are drawn, and of the trainings.
    """

    source: str
    location: str | None
    budget_seconds: float | None = None
    is_rebalanced: bool = False
    is_shared: bool = False
    recipe: ChosenRecipe | None = None
    seed: int = 0

    def are_those_of(self, choice: ChoiceRecord) -> bool:
        """Say whether a choice was made for the same wishes; the seed may be another."""
        made_for = (choice.source, choice.location, choice.budget_seconds)
        if made_for != (self.source, self.location, self.budget_seconds):
            return False
        is_forced = self.is_rebalanced or self.is_shared or self.recipe is not None
        return not is_forced and choice.because not in {"rebalancing", "settings", "workers"}


def choose_recipe(look: DataLook | None, asked: Asked, progress: Progress) -> ChoiceRecord:
    """Choose the recipe for a data set.

    Parameters
    ----------
    look
        What the data set looks like; None where that is not known.
    asked
        What else counts.
    progress
        Who is told, if recipes are tried.
    """
    facts: dict[str, Any] = {
        "source": asked.source,
        "location": asked.location,
        "budget_seconds": asked.budget_seconds,
    }
    if asked.recipe is not None:
        return _chosen(asked.recipe, "settings", facts)
    if asked.is_rebalanced:
        return _chosen("fast", "rebalancing", facts)
    if asked.is_shared:
        return _chosen("fast", "workers", facts)
    if look is None:
        return _chosen("transfer", "unknown", facts)
    return _choose_by_look(look, asked, facts, progress)


def _choose_by_look(
    look: DataLook, asked: Asked, facts: dict[str, Any], progress: Progress
) -> ChoiceRecord:
    facts |= {
        "train_count": look.train_count,
        "class_count": sum(count > 0 for count in look.train_counts),
        "examples_per_class": look.examples_per_class,
        "shorter_side_px": look.shorter_side_px,
        "is_gray": look.is_gray,
    }
    if (clear := _clear_case(look, asked)) is not None:
        return _chosen(*clear, facts)
    comparison = compare_recipes(look.dataset, seed=asked.seed, progress=progress)
    if comparison is None:
        return _chosen("transfer", "few", facts)
    is_better = comparison.fast.expected_error < comparison.transfer.expected_error
    return _chosen("fast" if is_better else "transfer", "comparison", facts, comparison)


def _clear_case(look: DataLook, asked: Asked) -> tuple[ChosenRecipe, ChoiceReason] | None:
    """Give recipe and reason where nothing has to be tried."""
    side, count = look.shorter_side_px, look.train_count
    if side >= PHOTOGRAPH_PX or (side >= SMALL_PX and count > MOST_LARGE_COMPARED):
        return "transfer", "photographs"
    if side >= SMALL_PX:
        return None
    if look.examples_per_class >= MANY_PER_CLASS or count > MOST_COMPARED:
        return "fast", "many"
    if asked.budget_seconds is not None and count > FEATURES_PER_SECOND * asked.budget_seconds:
        return "fast", "budget"
    return None


def recipe_of_settings(names: frozenset[str]) -> ChosenRecipe | None:
    """Give the recipe whose model alone has all settings of these names; None if that is unclear.

    Names of places in lists (``widths.0``) count as those of the lists.
    """
    fields = {
        recipe: MODELS[recipe_values(recipe)["model"]["name"]].settings_type.model_fields
        for recipe in CHOSEN_RECIPES
    }
    own = {name.partition(".")[0] for name in names}
    known = [recipe for recipe in CHOSEN_RECIPES if own <= fields[recipe].keys()]
    return known[0] if own and len(known) == 1 else None


def _chosen(
    recipe: ChosenRecipe,
    because: ChoiceReason,
    facts: dict[str, Any],
    comparison: RecipeComparison | None = None,
) -> ChoiceRecord:
    # A budget chooses backbone and size itself, and settings may have said them.
    if recipe == "transfer" and facts["budget_seconds"] is None and because != "settings":
        model = recipe_values(recipe)["model"]
        size = model.get("input_size_px") or MODELS[model["name"]].large_image_size_px
        facts |= {"backbone": model["backbone"], "image_size_px": size}
    return ChoiceRecord(recipe=recipe, because=because, comparison=comparison, **facts)


def compare_recipes(
    dataset: ImageDataset, *, seed: int, progress: Progress
) -> RecipeComparison | None:
    """Try both recipes on a few training images; None if there are too few to tell.

    Two thirds of `_TRIED_IMAGES` are learned from, the others judge; copies, and images of one
    patient, writer or video, are on one side. Nothing is mirrored: whether images may be is not
    known yet.
    """
    started = time.perf_counter()
    drawn = stratified_sample(
        dataset.train.labels, _TRIED_IMAGES, derive_seed(seed, "recipe-choice")
    )
    some = dataset.train.take(drawn)
    groups = exact_groups(some.images)
    if dataset.train_groups is not None:
        groups = joined_groups(groups, regrouped(dataset.train_groups, drawn))
    fitted, judged, _ = possible_holdout(
        some.labels,
        fraction=_JUDGED_SHARE,
        method="stratified",
        seed=derive_seed(seed, "recipe-choice"),
        groups=groups,
    )
    if len(judged) < _LEAST_JUDGED:
        return None
    class_count = len(dataset.classes)
    growth = len(dataset.train) / len(fitted)
    trials = {}
    with progress.task("Trying two recipes", total=2, unit="recipes") as task:
        for recipe in CHOSEN_RECIPES:
            error = _error(recipe, some.take(fitted), some.take(judged), class_count, seed)
            # Half an image more: none of a few hundred is not none of all.
            least = max(error, 0.5 / len(judged))
            trials[recipe] = RecipeTrial(
                error=error, expected_error=least * growth ** -_FALL[recipe]
            )
            task.advance(detail=recipe)
    return RecipeComparison(
        fitted=len(fitted),
        judged=len(judged),
        seconds=time.perf_counter() - started,
        **trials,
    )


def _error(
    recipe: ChosenRecipe, train: ImageSplit, judged: ImageSplit, class_count: int, seed: int
) -> float:
    """Train a recipe's network, fast, and give its share of wrong answers."""
    settings = load_recipe(recipe)
    model = dict(settings.model.settings)
    training = settings.training.without_validation()
    if recipe == "fast":
        train, judged = _shrunk(train), _shrunk(judged)
        model |= _TRIED_NETWORK
        training = training.model_copy(update={"epochs": 1, "least_steps": _TRIED_STEPS})
    else:
        model["fine_tune_epochs"] = 0
    plan = NetworkPlan.parse(
        settings.model.name, model, image_shape=train.image_shape, class_count=class_count
    )
    device = choose_device("auto")
    fitted = fit_network(Trainer(training, seed, device, mirror_keeps_class=False), plan, train)
    logits = predict_logits(
        fitted.network, judged.images, device=device, precision=device.precision(training.precision)
    )
    return float(np.mean(logits.argmax(1) != judged.labels))


def _shrunk(split: ImageSplit) -> ImageSplit:
    if min(split.images.shape[1:3]) <= _TRIED_SIDE_PX:
        return split
    return ImageSplit(images_at_size(split.images, _TRIED_SIDE_PX), split.labels)
