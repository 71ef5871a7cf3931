"""What a model folder's ``model.json`` says."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tenfold.core.records.interval import Interval
from tenfold.core.records.record import Record
from tenfold.core.records.value_range import BEFORE_THEY_WERE_FOUND, ValueRanges

FORMAT_VERSION = 2
"""Raised when an older tenfold could not read the folder rightly any more."""

Side = Annotated[int, Field(ge=1, le=65_535)]


class Measure(Record):
    """A score and its 95% interval."""

    value: float
    interval: Interval | None
    """None where none was computed."""


class ModelScores(Record):
    """Scores on the test split, of the calibrated probabilities that prediction gives.

    How the intervals are made: `tenfold.metrics.intervals`.
    """

    count: int
    """Test images."""
    accuracy: Measure
    balanced_accuracy: Measure
    macro_f1: Measure
    log_loss: Measure
    expected_calibration_error: Measure


class ModelData(Record):
    """The data set that a model was trained on and tested with."""

    title: str
    source: str
    """Name of the source; ``arrays`` where `ImageClassifier.fit` was given them."""
    description: str
    train_counts: tuple[int, ...]
    """Training images of each class, those held out for validation included."""
    test_counts: tuple[int, ...]
    """Test images of each class; empty without a test split."""
    train_sha256: str
    test_sha256: str | None
    """SHA-256 of the splits' images and labels, see `tenfold.data.dataset.ImageSplit.sha256`."""


class ModelRecord(Record):
    """Everything about a finished model but its weights.

    The weights' file holds the normalisation too, as a part of the network; it stands here for
    those who use the weights without tenfold.
    """

    format_version: int
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of this file's bytes with this value replaced by 64 zeros."""
    files: dict[str, str]
    """SHA-256 of each other file of the folder, by its name."""
    title: str
    """For people, for example "CIFAR-10, recipe fast"."""
    model: str
    """Registered name of the architecture."""
    model_settings: dict[str, object]
    training: dict[str, object]
    """How it was trained, see `tenfold.engine.training_settings.TrainingSettings`."""
    image_shape: tuple[Side, Side, Literal[1, 3]]
    """Height, width and channels of the images that the network takes; others are scaled."""
    normalization_mean: tuple[float, ...]
    normalization_standard_deviation: tuple[float, ...]
    """One value a channel, on the scale 0 to 255."""
    classes: tuple[str, ...] = Field(min_length=2)
    """Class names; the network's output i is the class with index i."""
    labels: tuple[bool | int | float | str, ...] | None
    """The classes as labels of another type, in the same order; None where they are the names."""
    temperature: float | None = Field(gt=0)
    """Logits are divided by it before the softmax; None for 1."""
    precision: Literal["float32", "bfloat16"]
    """What convolutions and matrix products computed in when the model was tested."""
    mirror_keeps_class: bool
    value_ranges: ValueRanges = BEFORE_THEY_WERE_FOUND
    """What image files of more than 8 bits are scaled by to the 0 to 255 that the network takes."""
    data: ModelData
    scores: ModelScores | None
    """None where the model was not tested."""
    versions: dict[str, str]
    """Of Python and of packages, when the model was made."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        """Check that what belongs together has the same length."""
        if self.labels is not None and len(self.labels) != len(self.classes):
            raise ValueError("labels and classes differ in number")
        if {len(self.normalization_mean), len(self.normalization_standard_deviation)} != {
            self.image_shape[2]
        }:
            raise ValueError("the normalization does not fit the channels")
        return self
