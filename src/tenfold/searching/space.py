"""What is searched: ranges of settings, and which of them are active."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.records.tune import ParameterValue, SearchDimension
from tenfold.engine.training_settings import REGULARISATION_SEARCH_SPACE, TRAINING_SEARCH_SPACE
from tenfold.models.model import MODELS
from tenfold.recipe import StudySettings


def search_space(settings: StudySettings) -> tuple[SearchDimension, ...]:
    """Give the dimensions to search, in order; a name stands for the model's or training's range.

    Raises
    ------
    UnknownNameError
        If a name is no range of the model or of the training.
    SettingsError
        If a range is none.
    """
    own = {
        dimension.name: dimension
        for dimension in (
            *MODELS[settings.model.name].search_space,
            *TRAINING_SEARCH_SPACE,
            *REGULARISATION_SEARCH_SPACE,
        )
    }
    chosen: dict[str, SearchDimension] = {}
    for entry in settings.tune.space:
        if isinstance(entry, SearchDimension):
            chosen[entry.name] = entry
            continue
        matches = [name for name in own if name == entry or name.startswith(f"{entry}.")]
        if not matches:
            raise UnknownNameError("search range", entry, own)
        chosen |= {name: own[name] for name in matches}
    for dimension in chosen.values():
        _check(dimension)
    return tuple(chosen.values())


def _check(dimension: SearchDimension) -> None:
    """Refuse a range that is none before anything is trained."""
    low, high, step = dimension.low, dimension.high, dimension.step
    if dimension.choices is not None:
        is_range = len(dimension.choices) > 0
    else:
        is_range = (
            low is not None
            and high is not None
            and (0 < low <= high if dimension.is_log else low <= high)
            and (step is None or step > 0)
        )
    if not is_range:
        raise SettingsError(
            f"The search range {dimension.name!r} needs choices, or low and high with low <= high "
            f"(and 0 < low where is_log); a step must be above 0. Got choices={dimension.choices}, "
            f"low={low}, high={high}, step={step}, is_log={dimension.is_log}."
        )


def is_active(
    dimension: SearchDimension, values: Mapping[str, ParameterValue], settings: Mapping[str, Any]
) -> bool:
    """Say whether a dimension is searched, given the values drawn before and the other settings."""
    condition = dimension.only_if
    if condition is None:
        return True
    other = values.get(condition.name, _value_at(settings, condition.name))
    return isinstance(other, int | float) and other >= condition.at_least


def _value_at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values[int(part)] if isinstance(values, list) else values.get(part, {})
    return values
