"""What the train stage did."""

from __future__ import annotations

from typing import Literal

from tenfold.core.records.record import Record


class EpochRecord(Record):
    """One pass over the training images. Epochs count from 1."""

    epoch: int
    learning_rate: float
    train_loss: float
    """Mean loss of the batches as they were trained on (dropout and augmentation on)."""
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


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
    augmentation: str
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
