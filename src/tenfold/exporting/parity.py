"""Does the exported file give what the model gives? Asked of real images, with ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tenfold.core.errors import ExportError
from tenfold.data.dataset import Images
from tenfold.exporting.onnx_model import OnnxModel
from tenfold.models.model import ImageNetwork
from tenfold.training.device import choose_device
from tenfold.training.temperature import predict_probabilities

TOLERANCE = 1e-4
"""Largest difference of a probability. Both compute in float32 but add up in other orders, which
gives some 1e-6; a forgotten step of the preprocessing gives 0.1."""


@dataclass(frozen=True)
class Parity:
    """How far apart two ways to compute the same are."""

    count: int
    """Images asked about."""
    largest_difference: float
    """Of any probability of any image."""
    changed: int
    """Images whose most probable class is another."""


def check_parity(
    model: OnnxModel, network: ImageNetwork, temperature: float | None, images: Images
) -> Parity:
    """Compare an exported model with the network and temperature it was made of, in float32.

    `images` are uint8, shape (N, H, W, C).

    Raises
    ------
    ExportError
        If a probability differs by more than `TOLERANCE`.
    """
    expected = predict_probabilities(
        network, images, temperature, device=choose_device("cpu"), precision=torch.float32
    )
    received = model.predict_many(images)
    difference = float(np.abs(expected - received).max(initial=0.0))
    parity = Parity(
        count=len(images),
        largest_difference=difference,
        changed=int((expected.argmax(1) != received.argmax(1)).sum()),
    )
    if not difference <= TOLERANCE:  # NaN too
        raise ExportError(
            f"The exported model does not give what the model gives: on {parity.count:,} images a "
            f"probability differs by up to {difference:.2g} (allowed: {TOLERANCE:g}), and "
            f"{parity.changed:,} images get another class. Nothing was written. Please report "
            "this with the model's settings; another version of torch or onnxruntime may do."
        )
    return parity
