"""How to train: every setting with its range, and the ingredients that an ablation leaves out."""

from __future__ import annotations

from typing import Any, Literal, Self, get_args

from pydantic import Field

from tenfold.core.records.tuning import Ingredient, SearchDimension
from tenfold.core.settings import Settings

OptimizerName = Literal["adam", "adamw", "muon", "rmsprop", "sgd"]
AveragingName = Literal["none", "ema", "swa"]
ScheduleName = Literal["constant", "cosine", "linear", "one-cycle", "plateau"]
ChosenWeights = Literal["last", "best"]
Precision = Literal["float32", "bfloat16"]
AskedPrecision = Literal["auto", Precision]


class TrainingSettings(Settings):
    """Settings of one training.

    Attributes
    ----------
    epochs
        Passes over the training images; a time budget takes their place.
    least_steps
        Optimiser steps that the training has at least: a small data set is shown more often. 0
        leaves it at `epochs`.
    budget_seconds
        Time that the training may take, start-up and validation included; None for a fixed number
        of epochs. The schedule runs on the clock, and the network's size, the batch size and the
        number of epochs are chosen for the time (`tenfold.training.budget`).
    batch_size
        Images a step; the last batch of an epoch may be smaller.
    micro_batches
        Parts that every batch is cut into, which several workers may share
        (`tenfold.training.micro_batches`); each is computed by one thread. The weights depend on
        their number, not on that of the workers. None for batches that are computed whole.
    optimizer
        See `tenfold.training.optimizers`.
    learning_rate
        Highest learning rate; None takes the optimiser's own default.
    momentum
        Of ``sgd`` and ``rmsprop``; with ``sgd`` in Nesterov's form.
    weight_decay
        L2 penalty (decoupled with ``adamw``), not applied to biases and normalisation.
    schedule
        Course of the learning rate over the training: ``constant``; ``cosine`` down to zero
        (arXiv 1608.03983); ``linear`` down to zero; ``one-cycle``: linear up over the
        first fifth, linear down to zero (after arXiv 1708.07120); ``plateau``: as it is until the
        validation loss stops falling, then reduced (see `tenfold.training.schedule`).
    plateau_factor, plateau_patience
        Of schedule ``plateau``: the factor on the learning rate after so many epochs in a row
        without a lower validation loss. Keras' and torch's 0.1 and 10 are for long trainings; half
        after two suits the tens of epochs that a CPU has time for.
    averaging
        Which weights are validated, evaluated and saved: the newest (``none``); their exponential
        moving average (``ema``); or their mean over the end of the training (``swa``, arXiv
        1803.05407), with batch norm's statistics measured again. See `tenfold.training.averaging`.
    ema_decay
        What the moving average keeps of itself at a step; less in the first steps.
    swa_share
        Last share of the training whose weights are averaged, 0.25 as in the paper. The learning
        rate stays there as high as it was at its beginning (but for ``plateau``).
    gradient_clip_norm
        Largest length of the gradient of all parameters together; a longer one is scaled down to it
        (arXiv 1211.5063). None leaves gradients as they are.
    early_stopping_patience
        The training ends after so many epochs in a row without a better validation accuracy; None
        for no early end. With ``weights = "best"`` the result is the best epoch's.
    label_smoothing
        Share of the target spread over all classes (arXiv 1512.00567).
    augmentation
        Name of the augmentation: parts joined by ``+``, for example ``crop-flip+cutout+mixup``
        (see `tenfold.data.augmentation`).
    rebalance
        What is done about classes of different size: ``none``, ``inverse``, ``effective-number``,
        ``over-sample``, ``under-sample``, ``logit-adjust``, or ``auto``, which chooses by how
        different they are (see `tenfold.data.rebalancing`).
    low_resolution_share, low_resolution_scale
        Over the first share of the training, images grow from this share of their height and width
        to the whole; a step's cost goes with the square (see `tenfold.training.batches`).
    normalization
        ``scale``: pixels to 0..1; ``standardize``: each channel to mean 0 and standard deviation
        1 over the training images (fitted again in each fold).
    validation_fraction
        Share of the training images held out to watch and to choose by; 0 for none.
    validation_method
        ``last``: the last images in order (Keras' ``validation_split``); ``stratified``: drawn
        with the same share of every class.
    weights
        Which weights are the result: of the ``last`` epoch, or of the ``best`` epoch by validation
        accuracy.
    precision
        ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 where the processor computes
        with it, else float32.
    checkpoint_seconds
        Least time between two checkpoints; what a kill can cost.
    """

    epochs: int = Field(20, ge=1, le=100_000)
    least_steps: int = Field(0, ge=0, le=10_000_000)
    budget_seconds: float | None = Field(None, gt=0, le=1e7)
    batch_size: int = Field(64, ge=1, le=1_000_000)
    micro_batches: int | None = Field(None, ge=1, le=1024)
    optimizer: OptimizerName = "adam"
    learning_rate: float | None = Field(None, gt=0, le=1000)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, le=10)
    schedule: ScheduleName = "constant"
    plateau_factor: float = Field(0.5, gt=0, lt=1)
    plateau_patience: int = Field(2, ge=1, le=100_000)
    averaging: AveragingName = "none"
    ema_decay: float = Field(0.999, ge=0, lt=1)
    swa_share: float = Field(0.25, gt=0, le=0.8)
    gradient_clip_norm: float | None = Field(None, gt=0, le=1e6)
    early_stopping_patience: int | None = Field(None, ge=1, le=100_000)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    augmentation: str = "none"
    rebalance: str = "none"
    low_resolution_share: float = Field(0.0, ge=0, lt=1)
    low_resolution_scale: float = Field(0.45, gt=0, le=1)
    normalization: Literal["scale", "standardize"] = "standardize"
    validation_fraction: float = Field(0.1, ge=0, le=0.9)
    validation_method: Literal["last", "stratified"] = "stratified"
    weights: ChosenWeights = "last"
    precision: AskedPrecision = "auto"
    checkpoint_seconds: float = Field(15.0, ge=0)

    def epochs_for(self, steps_per_epoch: int) -> int:
        """Give the number of epochs, the least number of steps considered."""
        return max(self.epochs, -(-self.least_steps // steps_per_epoch))

    @property
    def watched_settings(self) -> tuple[str, ...]:
        """Give the names of the settings that have no effect without validation images."""
        return (
            *(("weights",) if self.weights == "best" else ()),
            *(("early_stopping_patience",) if self.early_stopping_patience is not None else ()),
            *(("schedule",) if self.schedule == "plateau" else ()),
        )

    def without_validation(self) -> Self:
        """Give the settings without what only validation images could decide."""
        schedule = "constant" if self.schedule == "plateau" else self.schedule
        return self.model_copy(update={"early_stopping_patience": None, "schedule": schedule})

    def result_settings(self) -> dict[str, Any]:
        """Give what the trained weights depend on: all but how often the state is saved."""
        settings = self.model_dump(mode="json", exclude={"checkpoint_seconds"})
        if self.micro_batches is None:  # as before there was such a setting
            del settings["micro_batches"]
        return settings


TRAINING_SEARCH_SPACE = (
    SearchDimension(name="training.optimizer", choices=("adam", "rmsprop", "sgd")),
    SearchDimension(name="training.learning_rate", low=1e-4, high=1e-1, is_log=True),
    SearchDimension(name="training.weight_decay", low=1e-5, high=1e-2, is_log=True),
    SearchDimension(name="training.label_smoothing", low=0.0, high=0.2, step=0.05),
    SearchDimension(
        name="training.augmentation",
        choices=("none", "crop-flip", "report", "strong", "mixup", "cutmix"),
    ),
)
"""Ranges worth searching in any model's training."""

REGULARISATION_SEARCH_SPACE = (
    SearchDimension(name="training.schedule", choices=get_args(ScheduleName)),
    SearchDimension(name="training.plateau_factor", low=0.1, high=0.7, step=0.2),
    SearchDimension(name="training.plateau_patience", low=1, high=5, step=1),
    SearchDimension(name="training.averaging", choices=get_args(AveragingName)),
    SearchDimension(name="training.ema_decay", choices=(0.98, 0.99, 0.995, 0.998, 0.999, 0.9995)),
    SearchDimension(name="training.swa_share", low=0.1, high=0.5, step=0.05),
    SearchDimension(name="training.gradient_clip_norm", low=0.1, high=10.0, is_log=True),
    SearchDimension(name="training.early_stopping_patience", low=3, high=15, step=1),
)
"""Further ranges, worth searching for a training that is long enough for them to matter; a recipe's
`tune.space` takes them by name as it takes the others."""


TRAINING_INGREDIENTS = (
    Ingredient(
        name="augmentation",
        title="Augmentation",
        without="the images as they are",
        changes={"training.augmentation": "none"},
    ),
    Ingredient(
        name="alternating-flip",
        title="Alternating flip",
        without="flips drawn anew in every epoch",
        changes={"training.augmentation": "crop-random-flip+blur+noise"},
        only_with={"augmentation": "crop-flip+blur+noise"},
    ),
    Ingredient(
        name="label-smoothing",
        title="Label smoothing",
        without="the whole target on one class",
        changes={"training.label_smoothing": 0.0},
    ),
    Ingredient(
        name="low-resolution-first",
        title="Low resolution first",
        without="full resolution from the first step on, in as many steps",
        changes={"training.low_resolution_share": 0.0},
    ),
    Ingredient(
        name="muon",
        title="Muon",
        without="SGD with Nesterov momentum 0.9, learning rate 0.05",
        changes={
            "training.optimizer": "sgd",
            "training.learning_rate": 0.05,
            "training.momentum": 0.9,
        },
        only_with={"optimizer": "muon"},
    ),
    Ingredient(
        name="schedule",
        title="Learning rate schedule",
        without="a constant learning rate",
        changes={"training.schedule": "constant"},
    ),
    Ingredient(
        name="weight-decay",
        title="Weight decay",
        without="none beyond the optimiser's own",
        changes={"training.weight_decay": 0.0},
    ),
    Ingredient(
        name="standardization",
        title="Standardised channels",
        without="pixels from 0 to 1",
        changes={"training.normalization": "scale"},
    ),
    Ingredient(
        name="averaging",
        title="Averaged weights",
        without="the newest weights",
        changes={"training.averaging": "none"},
    ),
    Ingredient(
        name="gradient-clipping",
        title="Clipped gradients",
        without="gradients of any length",
        changes={"training.gradient_clip_norm": None},
    ),
)
"""Ingredients of any model's training."""
