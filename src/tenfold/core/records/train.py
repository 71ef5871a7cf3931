"""What the train stage did."""

from __future__ import annotations

from typing import Literal

from tenfold.core.records.record import Record


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
