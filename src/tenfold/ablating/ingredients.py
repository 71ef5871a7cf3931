"""What a recipe can be tried without."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.records.tuning import Ingredient
from tenfold.models.model import MODELS
from tenfold.recipe import StudySettings
from tenfold.training.settings import TRAINING_INGREDIENTS


def ingredients_of(settings: StudySettings) -> tuple[Ingredient, ...]:
    """Give what the settings can be tried without: what is not switched off already."""
    training = settings.training
    return tuple(
        ingredient
        for ingredient in (*MODELS[settings.model.name].ingredients, *TRAINING_INGREDIENTS)
        if all(getattr(training, name) == value for name, value in ingredient.only_with.items())
        and settings.with_changes(ingredient.changes) != settings
    )


def parse_names(settings: StudySettings, names: Sequence[str]) -> tuple[Ingredient, ...]:
    """Give the ingredients of these names; all if there are none.

    Raises
    ------
    UnknownNameError
        If the settings have no such ingredient.
    SettingsError
        If the settings have none at all.
    """
    found = {ingredient.name: ingredient for ingredient in ingredients_of(settings)}
    if not found:
        raise SettingsError(
            f"Recipe {settings.recipe.name!r} has no ingredient that can be switched off."
        )
    for name in names:
        if name not in found:
            raise UnknownNameError("ingredient", name, found)
    return tuple(found[name] for name in names) if names else tuple(found.values())
