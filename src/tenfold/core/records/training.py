"""What a training did and which model it left."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tenfold.core.record import Interval, Record
from tenfold.core.records.data import BEFORE_THEY_WERE_FOUND, ValueRanges
from tenfold.core.records.guarantees import GuaranteesRecord

FORMAT_VERSION = 4
"""Of a model folder; raised when an older tenfold could not read it rightly any more."""

Side = Annotated[int, Field(ge=1, le=65_535)]


class EpochRecord(Record):
    """One pass over the training images. Epochs count from 1."""

    epoch: int
    share: float = 1.0
    """Share of the training images that it saw; less than 1 where a time budget ended."""
    learning_rate: float
    train_loss: float
    """Mean loss of the batches as they were trained on (dropout and augmentation on)."""
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


class BudgetRecord(Record):
    """What a time budget chose before the training."""

    seconds: float
    """The budget."""
    size: str | None
    """The chosen size of the model; None where the settings' own was kept."""
    model_settings: dict[str, object]
    training_settings: dict[str, object]
    """What the size changes in the settings."""
    expected_epochs: float | None
    sentence: str
    """The choice in one sentence, for people."""


class PenaltyRecord(Record):
    """One penalty on a head's weights, and the log loss on features that it was not fitted to."""

    penalty: float
    log_loss: float


class ProbeRecord(Record):
    """How a head was fitted to the features of a frozen backbone; see `EpochRecord` number 1."""

    feature_count: int
    is_mirrored: bool
    """Whether it was fitted to mirrored images too."""
    penalty: float
    """The chosen one."""
    tried: tuple[PenaltyRecord, ...]
    judged_by: str
    """What the log losses were measured on, for people."""
    fine_tune_epochs: int
    """Epochs of the whole network after it."""
    feature_seconds: float
    fit_seconds: float


class RebalancingPlan(Record):
    """What is changed for the classes of one training split; None where nothing is."""

    class_weights: tuple[float, ...] | None = None
    """Factors of the classes' losses; their mean over the training images is 1."""
    logit_offsets: tuple[float, ...] | None = None
    """Added to the classes' logits in the training loss, and there alone."""
    images_per_epoch: tuple[int, ...] | None = None
    """Images of each class that an epoch shows, where that is not each image once."""


class RebalancingRecord(RebalancingPlan):
    """What was done about classes of different size."""

    asked: str
    """The setting: a method, or ``auto``."""
    method: str
    ratio: float | None
    """Largest over smallest class of the images trained on; None where a class has none."""
    sentence: str
    """What was done and why, for people."""


class LayerRecord(Record):
    """One layer of the network."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    """Without the batch dimension."""
    parameters: int
    multiply_adds: int | None = None
    """Of convolutions and matrix products, for one image; None in records of earlier versions."""


class TrainRecord(Record):
    """The trained model and how it came about.

    Beside this record: ``weights_last.safetensors``, ``weights_best.safetensors`` (the epoch with
    the best validation accuracy; only with a validation split) and ``history.csv``.
    """

    model: str
    model_settings: dict[str, object]
    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    """Epochs in the history; the last one may be a part (`EpochRecord.share`)."""
    budget: BudgetRecord | None = None
    probe: ProbeRecord | None = None
    """None where the network was trained as a whole from the beginning."""
    augmentation: str
    rebalancing: RebalancingRecord | None = None
    averaging: Literal["none", "ema", "swa"] = "none"
    """Which average of the weights along the training was validated and saved."""
    stopped_early: bool = False
    """Whether the validation accuracy got no better for so long that the training ended."""
    normalization: str
    train_count: int
    validation_count: int
    history: tuple[EpochRecord, ...]
    best_epoch: int | None
    """Epoch with the best validation accuracy, counted from 1."""
    chosen_weights: Literal["last", "best"]
    """Which weights the later stages use."""
    temperature: float | None = None
    """Fitted on the validation images: logits are divided by it before the softmax, so that the
    probabilities can be believed. None without validation images. Also in the metadata of the
    chosen weights' file."""
    layers: tuple[LayerRecord, ...]
    parameter_count: int
    multiply_adds: int | None = None
    """Of one image's way through the network; None in records of earlier versions."""
    device: str
    precision: str
    threads: int
    seconds: float
    """Training time, validation included, resumed sessions added up."""
    notes: tuple[str, ...] = ()
    """What is otherwise than asked, and why."""

    @property
    def is_head_alone(self) -> bool:
        """Say whether a pretrained network stayed as it was, but for its head."""
        return self.probe is not None and not self.probe.fine_tune_epochs


class Measure(Record):
    """A score and its 95% interval."""

    value: float
    interval: Interval | None
    """None where none was computed."""


class ModelScores(Record):
    """Scores on the test split, of the calibrated probabilities that prediction gives.

    How the intervals are made: `tenfold.evaluation.intervals`.
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
    """How it was trained, see `tenfold.training.settings.TrainingSettings`."""
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
    guarantees: GuaranteesRecord | None = None
    """None in folders that were made before there were any."""
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
        sets = None if self.guarantees is None else self.guarantees.sets
        if sets is not None and len(sets.least_probabilities) != len(self.classes):
            raise ValueError("the prediction sets and the classes differ in number")
        on_test = None if self.guarantees is None else self.guarantees.on_test
        if on_test is not None and len(on_test.class_counts) != len(self.classes):
            raise ValueError("the answers on test images and the classes differ in number")
        return self


class RateStep(Record):
    """One step of a sweep."""

    learning_rate: float
    loss: float
    """Of the step's batch, before its update."""
    smoothed_loss: float
    """Exponential moving average of the losses so far."""


class RateSweepRecord(Record):
    """Losses over a rising learning rate, and the rate that they suggest."""

    model: str
    optimizer: str
    data: str
    batch_size: int
    default_rate: float
    """What the training would take: the recipe's rate, or the optimiser's own."""
    steps: tuple[RateStep, ...]
    is_diverged: bool
    """Whether the loss ended the sweep, before the highest rate was tried."""
    lowest_rate: float
    """Where the smoothed loss is lowest."""
    steepest_rate: float
    """Where it falls most for a factor on the rate."""
    suggested_rate: float
    seconds: float
