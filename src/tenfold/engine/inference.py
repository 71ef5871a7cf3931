"""Prediction: the same for evaluation, cross-validation and a user's own images."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tenfold.data.dataset import Images
from tenfold.engine.device import Device
from tenfold.engine.frozen_features import frozen_features, logits_of_features
from tenfold.models.model import ImageNetwork, as_pixels

INFERENCE_BATCH_SIZE = 500  # activations of 500 images of 32×32 stay within a few hundred MB
_MOST_VALUES = 8_000_000
"""Of a batch; 500 images of 64 × 64 px are one batch still."""


@torch.inference_mode()
def predict_logits(
    network: ImageNetwork,
    images: Images,
    *,
    device: Device,
    precision: torch.dtype = torch.float32,
    batch_size: int = INFERENCE_BATCH_SIZE,
) -> npt.NDArray[np.float32]:
    """Give logits of shape (N, classes) for uint8 images (N, H, W, C), in evaluation mode."""
    if network.body.frozen is not None:
        features = frozen_features(network, images, device=device, precision=precision)
        known: npt.NDArray[np.float32] = logits_of_features(network, features, device).numpy()
        return known
    blocks = logit_blocks(
        network, images, device=device, precision=precision, batch_size=batch_size
    )
    joined: npt.NDArray[np.float32] = np.concatenate([block.cpu().numpy() for block in blocks])
    return joined


def logit_blocks(
    network: ImageNetwork,
    images: Images,
    *,
    device: Device,
    precision: torch.dtype,
    batch_size: int,
) -> Iterator[Tensor]:
    """Give the logits block by block, in evaluation mode; see `predict_logits`."""
    batch_size = fitting_batch_size(batch_size, images.shape[1:])
    was_training = network.training
    network.eval()
    try:
        for start in range(0, len(images), batch_size):
            pixels = as_pixels(images[start : start + batch_size], device.torch_device)
            with device.autocast(precision):
                logits: Tensor = network(pixels)
            yield logits
    finally:
        network.train(was_training)


def fitting_batch_size(batch_size: int, image_shape: tuple[int, ...]) -> int:
    """Give a whole fraction of a batch's size at which large images need no more memory."""
    values = math.prod(image_shape)
    parts = (part for part in range(1, batch_size + 1) if batch_size % part == 0)
    return next(
        (batch_size // part for part in parts if batch_size // part * values <= _MOST_VALUES), 1
    )


def probabilities_from_logits(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Give the softmax over the last axis, computed in float64 and rounded once."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: npt.NDArray[np.float64] = exponentials / exponentials.sum(-1, keepdims=True)
    return probabilities.astype(np.float32)
