"""The temperature that calibrates a network's probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

# Not where it is used: a time budget counts start-up, but not what comes after the training.
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from tenfold.data.dataset import ImageSplit
from tenfold.data.store import AnyImages
from tenfold.models.model import ImageNetwork
from tenfold.training.device import Device
from tenfold.training.inference import predict_logits, probabilities_from_logits

_LOG_RANGE = math.log(20.0)
"""Temperatures from 1/20 to 20 are searched; those of real networks lie between 0.5 and 5."""


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
        See `tenfold.training.inference.predict_logits`.
    """
    if validation is None or len(validation) == 0:
        return None
    logits = predict_logits(network, validation.images, device=device, precision=precision)
    return fit_temperature(logits, validation.labels)


def fit_temperature(logits: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.int64]) -> float:
    """Fit the number by which logits are divided before the softmax.

    It minimises the cross-entropy on the given images (Guo et al., arXiv 1706.04599). A weak prior,
    a standard normal one on the temperature's logarithm, keeps a handful of images without an
    error from asking for endless confidence; over hundreds of images it does not matter. No
    temperature changes which class is the most probable.

    Parameters
    ----------
    logits
        Of images that the network was not trained on, shape (N, K), N at least 1.
    labels
        Their true classes, int64, shape (N,).

    Returns
    -------
    float
        Above 1 where the network is too sure of itself, below 1 where it is too modest.
    """
    assert len(labels) > 0
    scores = logits.astype(np.float64)
    true_scores = scores[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        likelihoods = scale * true_scores - logsumexp(scale * scores, axis=1)
        return float(-likelihoods.sum() + log_temperature**2 / 2)

    # In 1 / temperature the cross-entropy is convex, so there is one minimum to find.
    found = minimize_scalar(
        loss, bounds=(-_LOG_RANGE, _LOG_RANGE), method="bounded", options={"xatol": 1e-6}
    )
    return math.exp(float(found.x))


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
    images: AnyImages,
    temperature: float | None,
    *,
    device: Device,
    precision: torch.dtype,
) -> npt.NDArray[np.float32]:
    """Give calibrated probabilities of uint8 images (N, H, W, C), shape (N, K)."""
    logits = predict_logits(network, images, device=device, precision=precision)
    return calibrated_probabilities(logits, temperature)
