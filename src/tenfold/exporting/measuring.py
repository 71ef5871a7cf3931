"""How good, how large and how fast an exported model is."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from tenfold.data.dataset import Images, ImageSplit
from tenfold.exporting.onnx_model import BATCH_SIZE, OnnxModel

_REPEATS = 30
_MOST_SECONDS = 0.5


@dataclass(frozen=True)
class Measurement:
    """What was measured of one file."""

    name: str
    """``float32`` or ``int8``."""
    size_bytes: int
    accuracy: float
    """On the test images."""
    image_seconds: float
    """Median time for one image alone."""
    images_per_second: float
    """With many images at once."""


def measure(name: str, content: bytes, model: OnnxModel, test: ImageSplit) -> Measurement:
    """Measure a model on a test split."""
    predicted = model.predict_many(test.images).argmax(1)
    one = np.ascontiguousarray(test.images[:1])
    block = np.ascontiguousarray(np.resize(test.images, (BATCH_SIZE, *test.images.shape[1:])))
    return Measurement(
        name=name,
        size_bytes=len(content),
        accuracy=float((predicted == test.labels).mean()),
        image_seconds=_median_seconds(model, one),
        images_per_second=BATCH_SIZE / _median_seconds(model, block),
    )


def _median_seconds(model: OnnxModel, images: Images) -> float:
    model.predict(images)
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < _REPEATS and time.perf_counter() - began < _MOST_SECONDS:
        start = time.perf_counter()
        model.predict(images)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
