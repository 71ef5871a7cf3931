"""The tables of a recipe, one class each; that of the training is `tenfold.training.settings`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tenfold.core.records.data import MirrorSetting
from tenfold.core.records.tuning import SearchDimension
from tenfold.core.settings import Settings
from tenfold.data.corrections import CorrectionsSettings
from tenfold.data.images.pillow import LARGE_IMAGE_SIZE_PX
from tenfold.data.sources.grouping import Rule, parse_rule
from tenfold.data.sources.source import SourceOptions
from tenfold.training.settings import OptimizerName


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
    mirror_keeps_class
        Whether a mirrored image still shows its class; ``auto`` measures it on training images.
    path_column, label_column, split_column, group_column
        What a table calls its columns; None to find them.
    group_by, order_by
        Rules that say what stays together and in what order images were taken; see
        `tenfold.data.sources.grouping`.
    corrections
        Labels that a person corrected; None for the source's own labels.
    """

    source: str = "digits"
    location: str | None = None
    test_fraction: float = Field(0.2, gt=0, lt=1)
    image_size_px: int | None = Field(None, ge=1, le=4096)
    most_megapixels: float = Field(250, gt=0, le=100_000)
    is_strict: bool = False
    mirror_keeps_class: MirrorSetting = "auto"
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    group_by: str | None = None
    order_by: str | None = None
    corrections: CorrectionsSettings | None = None

    def source_options(
        self, *, seed: int, is_offline: bool, large_image_size_px: int = LARGE_IMAGE_SIZE_PX
    ) -> SourceOptions:
        """Give what a source is told when it reads the data set."""
        group, order = self._rule("group_by"), self._rule("order_by")
        is_column = group is not None and group.kind == "column"
        is_ordered_by_column = order is not None and order.kind == "column"
        return SourceOptions(
            seed=seed,
            test_fraction=self.test_fraction,
            image_size_px=self.image_size_px,
            large_image_size_px=large_image_size_px,
            is_strict=self.is_strict,
            is_offline=is_offline,
            most_megapixels=self.most_megapixels,
            path_column=self.path_column,
            label_column=self.label_column,
            split_column=self.split_column,
            group_column=group.value if group is not None and is_column else self.group_column,
            order_column=order.value if order is not None and is_ordered_by_column else None,
            group_by=self.group_by,
            order_by=self.order_by,
        )

    def _rule(self, setting: Literal["group_by", "order_by"]) -> Rule | None:
        text = self.group_by if setting == "group_by" else self.order_by
        return None if text is None else parse_rule(text, setting)


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
        Test images, a stratified sample, that are predicted again under each of 30 disturbances, at
        most: no more than what training cost allows (docs/decisions/033). 0 for none.
    is_thorough
        Whether all test images are disturbed, and the audit compares all pairs that may be
        near-duplicates, however long that takes.
    test_time_augmentation
        Views of each image whose mean is scored too, beside the plain scores: ``none``, ``mirror``,
        ``mirror-shift`` or ``mirror-crop`` (see `tenfold.training.inference`).
    """

    test_time_augmentation: Literal["none", "mirror", "mirror-shift", "mirror-crop"] = "mirror"
    robustness_images: int = Field(2000, ge=0, le=10_000_000)
    is_thorough: bool = False


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
        How well the edges of two images must fit each other at least to be near-duplicates, from 0
        to 1; where different images of a data set agree well, more is asked.
    """

    is_enabled: bool = True
    label_method: Literal["confident-learning", "cleanlab"] = "confident-learning"
    listed_issues: int = Field(500, ge=0, le=1_000_000)
    least_agreement: float = Field(0.8, gt=0, le=1)


class ExplainSettings(Settings):
    """What the model folder holds beside the model, to explain predictions and to doubt them.

    Attributes
    ----------
    neighbour_images
        Training images, a stratified sample, that lie in it as thumbnails and features; 0 for none.
    set_coverage
        How often an image's prediction set is to hold its true class; None for 0.95.
    """

    neighbour_images: int = Field(5000, ge=0, le=1_000_000)
    set_coverage: float | None = Field(None, ge=0.5, le=0.999)
