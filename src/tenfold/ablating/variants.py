"""Which variants of a recipe are trained."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.records.ablation import Ablation
from tenfold.engine.training_settings import TRAINING_ABLATIONS
from tenfold.models.model import MODELS
from tenfold.recipe import StudySettings

WHOLE = Ablation(name="whole", title="The whole recipe", changes={})


def recipe_ablations(settings: StudySettings, only: Sequence[str] = ()) -> tuple[Ablation, ...]:
    """Give the ingredients that a recipe has, the model's first.

    Parameters
    ----------
    settings
        The recipe's.
    only
        Names of those that are wanted; empty for all.

    Raises
    ------
    UnknownNameError
        If a name is no ingredient of the recipe.
    SettingsError
        If there is no ingredient to switch off.
    """
    values = settings.flat()
    # A model declares its ideas beside its settings; one that declares none has none.
    own: tuple[Ablation, ...] = getattr(MODELS[settings.model.name], "ablations", ())
    present = {one.name: one for one in (*own, *TRAINING_ABLATIONS) if one.is_present(values)}
    for name in only:
        if name not in present:
            raise UnknownNameError("ingredient of this recipe", name, present)
    if not present:
        raise SettingsError(
            f"The recipe {settings.recipe.name!r} has no ingredient that could be switched off. "
            "Choose another recipe, for example fast."
        )
    return tuple(one for one in present.values() if not only or one.name in only)
