"""What is searched, and on which images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.tuning import ParameterValue, SearchDimension
from tenfold.data.dataset import ImageSplit, read_split
from tenfold.models.model import MODELS
from tenfold.study.recipe import StudySettings
from tenfold.training.settings import REGULARISATION_SEARCH_SPACE, TRAINING_SEARCH_SPACE

MODEL_NAME = "model.name"
"""The dimension that draws the model, in a search over several."""
_MODEL = "model."


def search_space(settings: StudySettings) -> tuple[SearchDimension, ...]:
    """Give the dimensions to search, in order; a name stands for the model's or training's range.

    In a search over several models the first dimension draws the model, and each model's own
    dimensions carry its name. A range that the recipe has for its own model, and that none of
    them has, is left out.

    Raises
    ------
    UnknownNameError
        If a name is no range of a model or of the training.
    SettingsError
        If a range is none, or is of a setting that no model has.
    """
    models = settings.tune.models
    if models:
        own = [
            dimension.model_copy(update={"model": model})
            for model in dict.fromkeys(models)
            for dimension in MODELS[model].search_space
        ]
    else:
        own = list(MODELS[settings.model.name].search_space)
    known = [*own, *TRAINING_SEARCH_SPACE, *REGULARISATION_SEARCH_SPACE]
    chosen: dict[str, SearchDimension] = {}
    if models:
        chosen[MODEL_NAME] = SearchDimension(name=MODEL_NAME, choices=tuple(dict.fromkeys(models)))
    for entry in settings.tune.space:
        if models and _has(settings.model.name, entry) and not any(_has(m, entry) for m in models):
            continue  # the recipe's, which was written for its own model
        found = _named(entry, known) if isinstance(entry, str) else _written_out(entry, models)
        chosen |= {dimension.key: dimension for dimension in found}
    named = {dimension.model for dimension in chosen.values()}
    chosen |= {one.key: one for one in own if one.model is not None and one.model not in named}
    for dimension in chosen.values():
        _check(dimension)
    return tuple(chosen.values())


def _has(model: str, entry: str | SearchDimension) -> bool:
    """Say whether an entry is of a setting that a model has."""
    name = entry if isinstance(entry, str) else entry.name
    setting = name.removeprefix(_MODEL).split(".")[0]
    return name.startswith(_MODEL) and setting in MODELS[model].settings_type.model_fields


def _named(entry: str, known: list[SearchDimension]) -> list[SearchDimension]:
    matches = [one for one in known if one.name == entry or one.name.startswith(f"{entry}.")]
    if not matches:
        raise UnknownNameError("search range", entry, {one.name for one in known})
    return matches


def _written_out(dimension: SearchDimension, models: tuple[str, ...]) -> Iterator[SearchDimension]:
    """Give a range for each of the models that have its setting, if it is a model's."""
    if not models or not dimension.name.startswith(_MODEL):
        yield dimension
        return
    asked = models if dimension.model is None else (dimension.model,)
    having = [name for name in asked if _has(name, dimension)]
    if not having:
        setting = dimension.name.removeprefix(_MODEL).split(".")[0]
        raise SettingsError(
            f"The search range {dimension.name!r} is of no model of this search "
            f"({', '.join(asked)}). Remove it from tune.space, or search a model that has "
            f"{setting!r}."
        )
    for name in dict.fromkeys(having):
        yield dimension.model_copy(update={"model": name})


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
    if dimension.model is not None and values.get(MODEL_NAME) != dimension.model:
        return False
    condition = dimension.only_if
    if condition is None:
        return True
    other = values.get(condition.name, _value_at(settings, condition.name))
    return isinstance(other, int | float) and other >= condition.at_least


def _value_at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values[int(part)] if isinstance(values, list) else values.get(part, {})
    return values


@dataclass(frozen=True)
class SearchedImages:
    """The training split alone, in two parts.

    Parameters
    ----------
    train, validation
        The images to fit to, and those that score a training.
    acquired
        What is known of them.
    """

    train: ImageSplit
    validation: ImageSplit
    acquired: AcquireRecord

    @classmethod
    def read(cls, acquire: Path, settings: StudySettings) -> SearchedImages:
        """Read them from the folder of the acquire stage; see `StudySettings.hold_out`."""
        acquired = AcquireRecord.read(acquire / "record.json")
        split = read_split(acquire, "train")
        train, validation, _ = settings.hold_out(
            acquire, split.labels, acquired.classes, is_search=True
        )
        return cls(split.take(train), split.take(validation), acquired)
