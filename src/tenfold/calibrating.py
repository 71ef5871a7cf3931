"""Calibrated probabilities of a network: the temperature, and its use."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from tenfold.data.dataset import Images, ImageSplit
from tenfold.engine.device import Device
from tenfold.engine.inference import predict_logits, probabilities_from_logits
from tenfold.metrics.temperature import fit_temperature
from tenfold.models.model import ImageNetwork


def validation_temperature(
    network: ImageNetwork, validation: ImageSplit | None, *, device: Device, precision: torch.dtype
) -> float | None:
    """Fit a temperature on images that the network was not trained on; None without any.

    Parameters
    ----------
    network
        With the chosen weights in.
    validation
        Never images of the test split.
    device, precision
        See `tenfold.engine.inference.predict_logits`.
    """
    if validation is None or len(validation) == 0:
        return None
    logits = predict_logits(network, validation.images, device=device, precision=precision)
    return fit_temperature(logits, validation.labels)


def calibrated_probabilities(
    logits: npt.NDArray[np.float32], temperature: float | None
) -> npt.NDArray[np.float32]:
    """Give the softmax of ``logits / temperature``; which class is the most probable stays.

    Parameters
    ----------
    logits
        Shape (N, K).
    temperature
        None for 1.
    """
    return probabilities_from_logits(logits / np.float32(temperature or 1.0))


def predict_probabilities(
    network: ImageNetwork,
    images: Images,
    temperature: float | None,
    *,
    device: Device,
    precision: torch.dtype,
) -> npt.NDArray[np.float32]:
    """Give calibrated probabilities of uint8 images (N, H, W, C), shape (N, K)."""
    logits = predict_logits(network, images, device=device, precision=precision)
    return calibrated_probabilities(logits, temperature)
