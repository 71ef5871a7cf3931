"""One side of `report_recipe.py`: the original report's tuned network in Keras.

Runs in its own environment (TensorFlow); trains an epoch for every line on standard input and
answers with the seconds, validation included.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def main(folder: Path, epochs: int) -> None:
    """Train as the original does: batch 64, RMSprop, validation on the last tenth."""
    import keras
    from keras import layers

    images, labels = read_training_batches(folder)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Dropout(0.25),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    class OneAtATime(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch:
                sys.stdin.readline()
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds = time.perf_counter() - self.started
            print(f"{seconds:.4f} {logs['val_accuracy']:.4f}", flush=True)

    print("ready", keras.__version__, keras.backend.backend(), flush=True)
    sys.stdin.readline()
    model.fit(
        images.astype("float32") / 255.0,
        labels,
        epochs=epochs,
        batch_size=64,
        validation_split=0.1,
        verbose=0,
        callbacks=[OneAtATime()],
    )


def read_training_batches(folder: Path) -> tuple[Any, Any]:
    """Read the five training batches of CIFAR-10's binary version: (N, 32, 32, 3) and (N,)."""
    records = np.concatenate(
        [
            np.fromfile(folder / f"data_batch_{batch}.bin", np.uint8).reshape(-1, 3073)
            for batch in range(1, 6)
        ]
    )
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
