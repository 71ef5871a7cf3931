"""A recipe: the whole of a study's settings, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.record import Reference
from tenfold.core.records.tuning import SearchDimension
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
from tenfold.data.corrections import CorrectionsSettings
from tenfold.data.images.pillow import LARGE_IMAGE_SIZE_PX
from tenfold.data.rebalancing import check_rebalancing
from tenfold.data.sources.source import SourceOptions
from tenfold.evaluation.mirroring import MirrorSetting
from tenfold.models.model import MODELS, NetworkPlan
from tenfold.training.settings import OptimizerName, TrainingSettings


class RecipeTitle(Settings):
    """What a recipe is called and what it is for."""

    name: str
    title: str
    description: str


class DataSettings(Settings):
    """Which data set, and how it is read; see `tenfold.data.sources.source.SourceOptions`.

    Attributes
    ----------
    source
        Registered name of the source.
    location
        Path of the files; None for the source's own place.
    most_megapixels
        Images with more million pixels are left out; the memory that one takes is limited by half
        of the machine's too.
    path_column, label_column, split_column, group_column
        What a table calls its columns; None to find them.
    mirror_keeps_class
        Whether a mirrored image still shows its class; ``auto`` measures it on training images.
    corrections
        Labels that a person corrected; None for the source's own labels.
    """

    source: str = "digits"
    location: str | None = None
    test_fraction: float = Field(0.2, gt=0, lt=1)
    image_size_px: int | None = Field(None, ge=1, le=4096)
    most_megapixels: float = Field(250, gt=0, le=100_000)
    is_strict: bool = False
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    mirror_keeps_class: MirrorSetting = "auto"
    corrections: CorrectionsSettings | None = None


class ExploreSettings(Settings):
    """How many images the figures show."""

    samples_per_class: int = Field(8, ge=1, le=50)
    augmented_samples: int = Field(24, ge=1, le=200)


class ModelSettings(Settings):
    """Which architecture, and its own settings by name."""

    name: str = "cnn"
    settings: dict[str, Any] = Field(default_factory=dict)


class TuneSettings(Settings):
    """How settings are searched.

    Attributes
    ----------
    is_enabled
        Whether the study searches at all.
    sampler
        ``random``, or ``tpe``: tree-structured Parzen estimator.
    pruner
        Who stops a trial before its last epoch, by its validation accuracy. ``none``; ``median``:
        below the median of the earlier trials after as many epochs; ``halving``: successive
        halving (arXiv 1502.07943); ``hyperband`` (arXiv 1603.06560).
    reduction_factor
        Of ``halving`` and ``hyperband``: one of so many trials goes on beyond a rung, and the next
        rung is so many times as many epochs away.
    trials
        Sets of values to try, at most; None for as many as `budget_seconds` allows.
    budget_seconds
        Time after which no further trial begins; what runs then is ended. None for no limit.
    executions_per_trial
        Trainings a trial, with other seeds; the objective is their mean.
    epochs, batch_size
        Of every execution; `training.least_steps` may make the epochs more.
    validation_fraction, validation_method
        As in the training settings; the search never sees other images.
    space
        What is searched: the name of one of the model's or the training's own ranges
        (``model.units``; ``model`` for all of the model's), or a range written out.
    models
        Models to choose from, by their names: each trial draws one, and then values of its
        settings. A model that no entry of `space` names is searched in all of its own ranges. Empty
        for the study's own model.
    """

    is_enabled: bool = True
    sampler: Literal["random", "tpe"] = "tpe"
    pruner: Literal["none", "median", "halving", "hyperband"] = "median"
    reduction_factor: int = Field(3, ge=2, le=100)
    trials: int | None = Field(8, ge=1, le=100_000)
    budget_seconds: float | None = Field(None, gt=0, le=1e7)
    executions_per_trial: int = Field(1, ge=1, le=100)
    epochs: int = Field(3, ge=1, le=100_000)
    batch_size: int = Field(64, ge=1, le=1_000_000)
    validation_fraction: float = Field(0.1, gt=0, le=0.9)
    validation_method: Literal["last", "stratified"] = "stratified"
    space: tuple[str | SearchDimension, ...] = ("training.learning_rate",)
    models: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.trials is None and self.budget_seconds is None:
            raise ValueError("a search needs an end: set tune.trials or tune.budget_seconds")
        return self


class WarmStartSettings(Settings):
    """The original report's own k-fold training: from the trained model on."""

    epochs: int = Field(5, ge=1, le=100_000)
    batch_size: int = Field(64, ge=1, le=1_000_000)
    optimizer: OptimizerName = "adam"
    augmentation: str = "report"


class CrossValidateSettings(Settings):
    """K-fold cross-validation.

    Attributes
    ----------
    is_enabled
        Whether a whole study cross-validates.
    folds
        Number of folds; stratified, drawn with the study's seed.
    protocols
        ``fresh``: a new model a fold, trained as the train stage trains. ``warm-start``: every
        fold starts from the trained model, which has seen the fold's images: a leak, kept to
        reproduce the original report.
    epochs
        Of a ``fresh`` fold; None takes the training's.
    budget_seconds
        Time for all ``fresh`` folds together, shared equally; None trains each as the train stage
        trains, its time budget included.
    warm_start
        Settings of the ``warm-start`` protocol.
    """

    is_enabled: bool = True
    folds: int = Field(5, ge=2, le=1000)
    protocols: tuple[Literal["fresh", "warm-start"], ...] = ("fresh",)
    epochs: int | None = Field(None, ge=1, le=100_000)
    budget_seconds: float | None = Field(None, gt=0, le=1e7)
    warm_start: WarmStartSettings = WarmStartSettings()


class EvaluateSettings(Settings):
    """What is measured on the test split beside the scores.

    Attributes
    ----------
    robustness_images
        Test images, a stratified sample, that are predicted again under each of 30 disturbances;
        0 for none.
    test_time_augmentation
        Views of each image whose mean is scored too, beside the plain scores: ``none``, ``mirror``,
        or ``mirror-shift`` (see `tenfold.training.inference`).
    """

    test_time_augmentation: Literal["none", "mirror", "mirror-shift"] = "mirror"
    robustness_images: int = Field(2000, ge=0, le=10_000_000)


class AuditSettings(Settings):
    """How labels are audited and duplicates looked for.

    Attributes
    ----------
    is_enabled
        Whether a whole study audits.
    label_method
        Who flags labels: ``confident-learning``, our own of the same paper; or ``cleanlab``, that
        package's default, which has to be installed.
    listed_issues
        Labels of each split in the file to be edited, at most.
    least_agreement
        How well the edges of two images must fit each other to be near-duplicates, from 0 to 1.
    """

    is_enabled: bool = True
    label_method: Literal["confident-learning", "cleanlab"] = "confident-learning"
    listed_issues: int = Field(500, ge=0, le=1_000_000)
    least_agreement: float = Field(0.8, gt=0, le=1)


class ExplainSettings(Settings):
    """What the model folder holds to explain predictions with.

    Attributes
    ----------
    neighbour_images
        Training images, a stratified sample, that lie in it as thumbnails and features; 0 for none.
    """

    neighbour_images: int = Field(5000, ge=0, le=1_000_000)


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
        own_settings = MODELS[name].settings_type.parse(own, where="model").plain()
        nested["model"] = {"name": name, "settings": own_settings}
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
        return SourceOptions(
            seed=self.seed,
            test_fraction=self.data.test_fraction,
            image_size_px=self.data.image_size_px,
            large_image_size_px=self.large_image_size_px,
            is_strict=self.data.is_strict,
            is_offline=is_offline,
            most_megapixels=self.data.most_megapixels,
            path_column=self.data.path_column,
            label_column=self.data.label_column,
            split_column=self.data.split_column,
            group_column=self.data.group_column,
        )

    @property
    def large_image_size_px(self) -> int:
        """Give the size that larger photographs are made as small as, if no size is asked for.

        What a pretrained network was trained with; otherwise what is worth its time.
        """
        own = MODELS[self.model.name].large_image_size_px or LARGE_IMAGE_SIZE_PX
        return int(self.model.settings.get("input_size_px") or own)

    def network_plan(self, image_shape: tuple[int, ...], class_count: int) -> NetworkPlan:
        """Give which network is built for images of this height, width and number of channels."""
        height, width, channels = image_shape
        return NetworkPlan.parse(
            self.model.name,
            self.model.settings,
            image_shape=(height, width, channels),
            class_count=class_count,
        )

    def with_changes(self, changes: Mapping[str, Any]) -> StudySettings:
        """Give the settings with some replaced, by dotted name; see `resolve`."""
        return StudySettings.resolve(self.flat(), changes)

    def flat(self) -> dict[str, Any]:
        """Give plain data in the form that recipes are written in and `resolve` reads."""
        plain = self.plain()
        plain["model"] = {"name": self.model.name, **self.model.settings}
        return plain


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
    """Read a recipe, change it by dotted names, and check the whole; see `load_recipe`."""
    values = recipe_values(name_or_path)
    try:
        return StudySettings.resolve(values, changes)
    except SettingsError:
        StudySettings.resolve(values)  # What is wrong in the recipe itself is said first.
        raise
    except RecursionError:
        raise nested_too_deeply(name_or_path) from None


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
    defaults = StudySettings.model_construct(recipe=untitled).model_dump(mode="json")
    del defaults["recipe"]
    filled = with_defaults(values, defaults)
    filled["model"] = {"name": new, **MODELS[new].settings_type().plain()}
    if new == old:
        filled["model"] |= own
    else:
        _fit_other_model(filled, new)
    return with_values(filled, changes)


def _fit_other_model(values: dict[str, Any], model: str) -> None:
    """Give training and search what suits another model than the one before."""
    tune, training = values["tune"], values["training"]
    if isinstance(tune, dict) and isinstance(tune["space"], list | tuple):
        kept = [entry for entry in tune["space"] if not _is_model_range(entry)]
        if len(kept) < len(tune["space"]):
            tune["space"] = kept + [dimension.name for dimension in MODELS[model].search_space]
    if isinstance(training, dict) and not MODELS[model].takes_any_size:
        training["low_resolution_share"] = 0.0


def _is_model_range(entry: Any) -> bool:
    """Say whether an entry of the search space is a setting of one model."""
    name = entry.get("name") if isinstance(entry, Mapping) else entry
    return str(name).startswith("model.") and name != "model.name"
