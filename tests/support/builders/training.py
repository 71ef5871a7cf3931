"""Plausible records of the train stage."""

from __future__ import annotations

from tenfold.core.records.training import EpochRecord, LayerRecord, TrainRecord

OUR_VALIDATION_ACCURACY = (
    *(0.4512, 0.5310, 0.5702, 0.5958, 0.6124, 0.6240, 0.6308, 0.6152, 0.6390, 0.6458),
    *(0.6502, 0.6310, 0.6570, 0.6644, 0.6702, 0.6638, 0.6480, 0.6734, 0.6688, 0.6650),
)


def train_record(
    train_accuracies: tuple[float, ...],
    validation_accuracies: tuple[float, ...] | None,
    *,
    validation_count: int = 5000,
    class_count: int = 10,
    augmentation: str = "none",
    validation_losses: tuple[float, ...] | None = None,
) -> TrainRecord:
    """Give a training record with these curves; losses follow from the accuracies."""
    history = tuple(
        EpochRecord(
            epoch=place + 1,
            learning_rate=0.001,
            train_loss=2.4 * (1 - accuracy),
            train_accuracy=accuracy,
            validation_loss=(
                None
                if validation_accuracies is None
                else validation_losses[place]
                if validation_losses
                else 2.6 * (1 - validation_accuracies[place])
            ),
            validation_accuracy=None
            if validation_accuracies is None
            else validation_accuracies[place],
            seconds=7.4,
        )
        for place, accuracy in enumerate(train_accuracies)
    )
    best = (
        None
        if validation_accuracies is None
        else validation_accuracies.index(max(validation_accuracies)) + 1
    )
    layers = (
        ("blocks.0.convolution", "Conv2d", (64, 30, 30), 1792, 1_555_200),
        ("blocks.0.pool", "MaxPool2d", (64, 15, 15), 0, 0),
        ("blocks.0.relu", "ReLU", (64, 15, 15), 0, 0),
        ("blocks.0.dropout", "Dropout", (64, 15, 15), 0, 0),
        ("blocks.1.convolution", "Conv2d", (32, 13, 13), 18464, 3_115_008),
        ("blocks.1.pool", "MaxPool2d", (32, 6, 6), 0, 0),
        ("blocks.1.dropout", "Dropout", (32, 6, 6), 0, 0),
        ("flatten", "Flatten", (1152,), 0, 0),
        ("hidden", "Linear", (128,), 147584, 147_456),
        ("dropout", "Dropout", (128,), 0, 0),
        ("output", "Linear", (class_count,), 129 * class_count, 128 * class_count),
    )
    return TrainRecord(
        model="cnn",
        model_settings={
            "conv_layers": 2,
            "filters": [64, 32],
            "units": 128,
            "conv_dropout": 0.25,
            "dense_dropout": 0.5,
            "has_batch_norm": False,
            "padding": "valid",
        },
        optimizer="rmsprop",
        learning_rate=0.001,
        batch_size=64,
        epochs=len(history),
        augmentation=augmentation,
        normalization="scale",
        train_count=45000,
        validation_count=0 if validation_accuracies is None else validation_count,
        history=history,
        best_epoch=best,
        chosen_weights="last",
        layers=tuple(
            LayerRecord(
                name=name,
                kind=kind,
                output_shape=shape,
                parameters=parameters,
                multiply_adds=multiply_adds,
            )
            for name, kind, shape, parameters, multiply_adds in layers
        ),
        parameter_count=sum(parameters for *_, parameters, _ in layers),
        multiply_adds=sum(multiply_adds for *_, multiply_adds in layers),
        device="cpu",
        precision="float32",
        threads=2,
        seconds=148.2,
    )
