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


class LayerRecord(Record):
    """One layer of the network."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    """Without the batch dimension."""
    parameters: int


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
    augmentation: str
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
    device: str
    precision: str
    threads: int
    seconds: float
    """Training time, validation included, resumed sessions added up."""
