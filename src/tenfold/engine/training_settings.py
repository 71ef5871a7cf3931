"""How a network is trained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tenfold.core.records.ablation import Ablation
from tenfold.core.records.tune import SearchDimension
from tenfold.core.settings import Settings

OptimizerName = Literal["adam", "adamw", "muon", "rmsprop", "sgd"]
ScheduleName = Literal["constant", "cosine", "linear", "one-cycle"]


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
        number of epochs are chosen for the time (`tenfold.budgeting`).
    batch_size
        Images a step; the last batch of an epoch may be smaller.
    optimizer
        See `tenfold.engine.optimizers`.
    learning_rate
        Highest learning rate; None takes the optimiser's own default.
    momentum
        Of ``sgd`` and ``rmsprop``; with ``sgd`` in Nesterov's form.
    weight_decay
        L2 penalty (decoupled with ``adamw``), not applied to biases and normalisation.
    schedule
        Course of the learning rate over the training: ``constant``; ``cosine`` down to zero
        (arXiv 1608.03983); ``linear`` down to zero; ``one-cycle``: linear up over the
        first fifth, linear down to zero (after arXiv 1708.07120).
    label_smoothing
        Share of the target spread over all classes (arXiv 1512.00567).
    augmentation
        Name of the augmentation policy.
    low_resolution_share, low_resolution_scale
        Over the first share of the training, images grow from this share of their height and width
        to the whole; a step's cost goes with the square (see `tenfold.engine.low_resolution`).
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
    optimizer: OptimizerName = "adam"
    learning_rate: float | None = Field(None, gt=0, le=1000)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, le=10)
    schedule: ScheduleName = "constant"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    augmentation: str = "none"
    low_resolution_share: float = Field(0.0, ge=0, lt=1)
    low_resolution_scale: float = Field(0.45, gt=0, le=1)
    normalization: Literal["scale", "standardize"] = "standardize"
    validation_fraction: float = Field(0.1, ge=0, le=0.9)
    validation_method: Literal["last", "stratified"] = "stratified"
    weights: Literal["last", "best"] = "last"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_seconds: float = Field(15.0, ge=0)

    def epochs_for(self, steps_per_epoch: int) -> int:
        """Give the number of epochs, the least number of steps considered."""
        return max(self.epochs, -(-self.least_steps // steps_per_epoch))

    def result_settings(self) -> dict[str, Any]:
        """Give what the trained weights depend on: all but how often the state is saved."""
        return self.model_dump(mode="json", exclude={"checkpoint_seconds"})


TRAINING_SEARCH_SPACE = (
    SearchDimension(name="training.optimizer", choices=("adam", "rmsprop", "sgd")),
    SearchDimension(name="training.learning_rate", low=1e-4, high=1e-1, is_log=True),
    SearchDimension(name="training.weight_decay", low=1e-5, high=1e-2, is_log=True),
    SearchDimension(name="training.label_smoothing", low=0.0, high=0.2, step=0.05),
    SearchDimension(name="training.augmentation", choices=("none", "crop-flip", "report")),
)
"""Ranges worth searching in any model's training."""

TRAINING_ABLATIONS = (
    Ablation(
        name="muon",
        title="Muon (else SGD)",
        only_if={"training.optimizer": "muon"},
        # The momentum, and the rate of the gradient summed over a batch, are those of the network
        # that airbench trained with SGD (arXiv 2404.00498: 11.5 / 7,851 an image), for 125 images.
        changes={
            "training.optimizer": "sgd",
            "training.momentum": 0.85,
            "training.learning_rate": 0.18,
        },
    ),
    Ablation(
        name="schedule",
        title="Falling learning rate",
        changes={"training.schedule": "constant"},
    ),
    Ablation(
        name="label-smoothing",
        title="Label smoothing",
        changes={"training.label_smoothing": 0.0},
    ),
    Ablation(
        name="low-resolution",
        title="Low resolution first",
        changes={"training.low_resolution_share": 0.0},
    ),
    Ablation(name="augmentation", title="Augmentation", changes={"training.augmentation": "none"}),
    Ablation(name="weight-decay", title="Weight decay", changes={"training.weight_decay": 0.0}),
    Ablation(
        name="standardization",
        title="Standardised channels (else 0 to 1)",
        changes={"training.normalization": "scale"},
    ),
)
"""Ingredients of any model's training, and the settings that switch each off."""
