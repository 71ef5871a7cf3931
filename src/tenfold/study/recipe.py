"""A recipe: the whole of a study's settings, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.record import Reference
from tenfold.core.settings import (
    DEFAULT_RECIPE,
    Settings,
    nested_too_deeply,
    parse_assignment,
    recipe_names,
    recipe_values,
    with_defaults,
    with_values,
)
from tenfold.data.augmentation import parse_augmentation
from tenfold.data.dataset import Indices, Labels, read_groups, read_order, read_validation
from tenfold.data.images.pillow import LARGE_IMAGE_SIZE_PX
from tenfold.data.rebalancing import check_rebalancing
from tenfold.data.sources.source import SourceOptions
from tenfold.data.splits import newest_part, possible_holdout
from tenfold.models.model import MODELS, NetworkPlan
from tenfold.study.settings import (
    AuditSettings,
    CrossValidateSettings,
    DataSettings,
    EvaluateSettings,
    ExplainSettings,
    ExploreSettings,
    ModelSettings,
    RecipeTitle,
    TuneSettings,
)
from tenfold.training.settings import TrainingSettings


class StudySettings(Settings):
    """All settings of a study, resolved."""

    recipe: RecipeTitle
    seed: int = Field(0, ge=0, lt=2**63)
    data: DataSettings = DataSettings()
    explore: ExploreSettings = ExploreSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    tune: TuneSettings = TuneSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    cross_validate: CrossValidateSettings = CrossValidateSettings()
    audit: AuditSettings = AuditSettings()
    explain: ExplainSettings = ExplainSettings()
    references: tuple[Reference, ...] = ()

    @classmethod
    def resolve(
        cls, values: Mapping[str, Any], changes: Mapping[str, Any] | None = None
    ) -> StudySettings:
        """Check plain values, the model's own settings and all names in them included.

        ``model`` is written flat, as recipes do: ``{"name": "cnn", "units": 128}``.

        `changes` are new values by dotted name, see `with_values`. Another model (``model.name``)
        begins from its own defaults: the settings of the one before are left behind, and where
        ranges of them were searched, the new model's are instead.

        Raises
        ------
        SettingsError
            Names every setting that is not valid.
        UnknownNameError
            If a model, a part of an augmentation or a rebalancing does not exist.
        """
        nested = _changed(values, changes) if changes else {**values}
        name, own = _split_model(nested)
        own = MODELS[name].settings_type.parse(own, where="model").plain()
        nested["model"] = {"name": name, "settings": own}
        study = cls.parse(nested)
        for policy in (study.training.augmentation, study.cross_validate.warm_start.augmentation):
            parse_augmentation(policy)
        check_rebalancing(study.training.rebalance)
        for searched in study.tune.models:
            if searched not in MODELS:
                raise UnknownNameError("model", searched, MODELS)
        return study

    def source_options(self, *, is_offline: bool) -> SourceOptions:
        """Give what a source is told when it reads the data set."""
        return self.data.source_options(
            seed=self.seed, large_image_size_px=self.large_image_size_px, is_offline=is_offline
        )

    @property
    def large_image_size_px(self) -> int:
        """Give the size that larger photographs are made as small as, if no size is asked for.

        What a pretrained network is best given, or, where a time budget chooses the size of its
        input, the largest that it chooses from; otherwise what is worth its time.
        """
        model = MODELS[self.model.name]
        own = model.large_image_size_px or LARGE_IMAGE_SIZE_PX
        if self.training.budget_seconds is not None and model.budget_image_size_px is not None:
            return model.budget_image_size_px
        return int(self.model.settings.get("input_size_px") or own)

    def result_settings(self) -> dict[str, Any]:
        """Give what a training's result depends on beside its images, as plain data."""
        return {
            "model": self.model.plain(),
            "training": self.training.result_settings(),
            "seed": self.seed,
        }

    def hold_out(
        self, acquire: Path, labels: Labels, classes: Sequence[str], *, is_search: bool = False
    ) -> tuple[Indices, Indices, str | None]:
        """Hold validation images out of an acquired training split, for training or for search.

        The data set's own where it has some, the newest where images have an order, else drawn with
        near-duplicates on one side; see `possible_holdout` for what it gives.
        """
        asked = self.tune if is_search else self.training
        given, order = read_validation(acquire), read_order(acquire)
        if order is not None and given is None and asked.validation_fraction:
            newest = newest_part(order, asked.validation_fraction, read_groups(acquire))
            # Where a class is all new, the images are drawn as without an order.
            if newest.any() and set(labels[newest].tolist()) <= set(labels[~newest].tolist()):
                given = newest
        return possible_holdout(
            labels,
            fraction=asked.validation_fraction,
            method=asked.validation_method,
            seed=self.seed,
            classes=classes,
            groups=read_groups(acquire),
            given=given,
        )

    def network_plan(self, image_shape: tuple[int, ...], class_count: int) -> NetworkPlan:
        """Give which network is built for images of this height, width and number of channels."""
        height, width, channels = image_shape
        shape = height, width, channels
        return NetworkPlan.parse(
            self.model.name, self.model.settings, image_shape=shape, class_count=class_count
        )

    def with_changes(self, changes: Mapping[str, Any]) -> StudySettings:
        """Give the settings with some replaced, by dotted name; see `resolve`."""
        return StudySettings.resolve(self.flat(), changes)

    def flat(self) -> dict[str, Any]:
        """Give plain data in the form that recipes are written in and `resolve` reads."""
        plain = self.plain()
        plain["model"] = {"name": self.model.name, **self.model.settings}
        return plain


def load_recipe(
    name_or_path: str, assignments: Sequence[str] = (), *, seed: int | None = None
) -> StudySettings:
    """Read a recipe, apply ``name=value`` assignments, and check the whole.

    Parameters
    ----------
    name_or_path
        See `tenfold.core.settings.recipe_text`.
    assignments
        For example ``["training.epochs=3", "model.units=64"]``.
    seed
        Overrides the recipe's.

    Raises
    ------
    SettingsError
        If the TOML, an assignment or a setting is not valid.
    """
    changes = dict(parse_assignment(assignment) for assignment in assignments)
    return resolve_recipe(name_or_path, changes | ({} if seed is None else {"seed": seed}))


def resolve_recipe(name_or_path: str, changes: Mapping[str, Any]) -> StudySettings:
    """Read a recipe, replace settings by dotted name, and check the whole; see `load_recipe`."""
    values = recipe_values(name_or_path)
    try:
        return StudySettings.resolve(values, changes)
    except SettingsError:
        StudySettings.resolve(values)  # What is wrong in the recipe itself is said first.
        raise
    except RecursionError:
        raise nested_too_deeply(name_or_path) from None


def recipe_for_model(model: str | None) -> str:
    """Give the recipe of a model's name, else the first that has the model, else the default."""
    names = recipe_names()
    if model is None or model in names:
        return model or DEFAULT_RECIPE
    own = (name for name in names if recipe_model(name) == model)
    return next(own, DEFAULT_RECIPE)


def recipe_model(name_or_path: str) -> str:
    """Give the name of a recipe's model."""
    return _split_model(recipe_values(name_or_path))[0]


def _split_model(values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give the name of a study's model, and what is said of its own settings."""
    model = values.get("model", {})
    if not isinstance(model, Mapping):
        raise SettingsError(f"The setting 'model' must be a table, got {model!r}.")
    own = dict(model)
    return str(own.pop("name", ModelSettings().name)), own


def _changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Give a study's plain values, all defaults filled in, with some replaced.

    A change may name any setting, a place in a default list too (``model.filters.0``).
    """
    old, own = _split_model(values)
    new = str(changes.get("model.name", old))
    untitled = RecipeTitle(name="", title="", description="")
    defaults = StudySettings(recipe=untitled).model_dump(mode="json", exclude={"recipe"})
    filled = with_defaults(values, defaults)
    filled["model"] = {"name": new, **MODELS[new].settings_type().plain()}
    if new == old:
        filled["model"] |= own
    else:
        _fit_other_model(filled, new)
    return with_values(filled, changes)


def _fit_other_model(values: dict[str, Any], model: str) -> None:
    """Give training and search what suits another model than the one before."""

    def is_of_model(entry: Any) -> bool:
        name = entry.get("name") if isinstance(entry, Mapping) else entry
        return str(name).startswith("model.") and name != "model.name"

    tune, training = values["tune"], values["training"]
    if isinstance(tune, dict) and isinstance(tune["space"], list | tuple):
        kept = [entry for entry in tune["space"] if not is_of_model(entry)]
        if len(kept) < len(tune["space"]):
            tune["space"] = kept + [dimension.name for dimension in MODELS[model].search_space]
    if isinstance(training, dict) and not MODELS[model].takes_any_size:
        training["low_resolution_share"] = 0.0
