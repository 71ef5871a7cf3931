"""What a training can do without, one ingredient at a time; see `tenfold ablate`."""

from __future__ import annotations

from tenfold.core.records.tuning import Ingredient

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
        changes={"training.augmentation": "crop-random-flip"},
        only_with={"augmentation": "crop-flip"},
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
