"""Batch norm's running statistics, measured again for weights that no step has made."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tenfold.engine.device import Device
from tenfold.engine.inference import autocast

STATISTICS_IMAGES = 5000
"""Training images that the statistics are measured on, about. A channel's mean and variance over a
fifth of an epoch differ from the whole's by well under a percent."""


def has_norm_statistics(network: nn.Module) -> bool:
    """Say whether a network has layers with running statistics."""
    return any(_layers(network))


@torch.no_grad()
def measure_norm_statistics(
    network: nn.Module, batches: Iterable[Tensor], *, device: Device, precision: torch.dtype
) -> None:
    """Set every batch norm's running mean and variance to the mean over `batches`, in place.

    Averaged weights need it: the statistics of the weights they are the mean of do not fit them
    (arXiv 1803.05407, section 3.2).

    Parameters
    ----------
    network
        With the weights that the statistics are for. Dropout is off: so it will be in use.
    batches
        Pixels, shape (B, C, H, W), as the training sees them.
    device, precision
        As in training.
    """
    was_training = network.training
    network.eval()
    momenta = {layer: layer.momentum for layer in _layers(network)}
    for layer in momenta:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all batches
        layer.train()
    for pixels in batches:
        with autocast(device, precision):
            network(pixels)
    for layer, momentum in momenta.items():
        layer.momentum = momentum
    network.train(was_training)


def _layers(network: nn.Module) -> Iterable[_BatchNorm]:
    return (
        layer
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    )
