"""Features and logits of a network with a backbone, each image's features computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tenfold.data.dataset import Images
from tenfold.engine.device import Device
from tenfold.engine.feature_store import feature_store
from tenfold.models.model import ImageNetwork, as_pixels

LEAST_IMAGES = 100
"""Fewer images are computed each time: finding out whether the backbone is known takes longer."""


@torch.no_grad()
def frozen_features(
    network: ImageNetwork,
    images: Images,
    *,
    device: Device,
    precision: torch.dtype,
    folder: Path | None = None,
    on_images: Callable[[int], None] | None = None,
) -> Tensor:
    """Give what the head reads of every image, on the CPU, in evaluation mode.

    Parameters
    ----------
    network
        Its body has a frozen part.
    images
        uint8, shape (N, H, W, C).
    device, precision
        Where, and in what type the convolutions compute.
    folder, on_images
        See `tenfold.engine.feature_store.FeatureStore.features`.

    Returns
    -------
    Tensor
        Shape (N, D).
    """
    body = network.body.frozen
    assert body is not None
    was_training = network.training
    network.eval()
    with torch.inference_mode(False):  # else the weights are good for inference alone, for ever
        network.to(device.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compute(block: Images) -> Tensor:
        pixels = as_pixels(block, device.torch_device)
        with device.autocast(precision):
            return body.features(network.normalized(pixels))

    try:
        if len(images) < LEAST_IMAGES and folder is None:
            features = compute(images).cpu()
            if on_images is not None:
                on_images(len(images))
            return features
        key = f"{_weights_digest(network)} {body.features_key()} {device.kind} {precision}"
        return feature_store().features(key, images, compute, folder=folder, on_images=on_images)
    finally:
        network.train(was_training)


@torch.no_grad()
def logits_of_features(network: ImageNetwork, features: Tensor, device: Device) -> Tensor:
    """Give the head's logits of features, shape (N, classes), float32, on the CPU."""
    body = network.body.frozen
    assert body is not None
    return body.logits(features.to(device.torch_device)).float().cpu()


def _weights_digest(network: ImageNetwork) -> str:
    """Give a digest of all weights but the head's."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        if not name.startswith("body.head."):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().data)
    return digest.hexdigest()
