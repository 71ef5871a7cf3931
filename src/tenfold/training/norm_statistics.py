"""Batch norm's running statistics, measured again for weights that no step has made."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tenfold.training.batches import TrainingBatches
from tenfold.training.device import Device

STATISTICS_IMAGES = 5000
"""Training images that the statistics are measured on, about: enough for two digits of a channel's
variance, and a tenth of an epoch's forward passes on CIFAR-10."""


@dataclass(frozen=True)
class NormStatistics:
    """Sets every batch norm's running mean and variance to their mean over training batches.

    Averaged weights need it: the statistics of the weights they are the mean of do not fit them
    (arXiv 1803.05407, section 3.2).

    Parameters
    ----------
    network
        Whose layers; changed in place.
    batches
        The training's.
    device, precision
        As in training.
    """

    network: nn.Module
    batches: TrainingBatches
    device: Device
    precision: torch.dtype

    @property
    def steps(self) -> int:
        """Give how many batches are looked at; 0 for a network without batch norm."""
        if not self._layers():
            return 0
        enough = math.ceil(STATISTICS_IMAGES / self.batches.batch_size)
        return min(self.batches.steps_per_epoch, enough)

    @torch.no_grad()
    def measure(self, epoch: int) -> None:
        """Measure on the first batches of an epoch. Dropout is off: so it will be in use."""
        was_training = self.network.training
        self.network.eval()
        momenta = {layer: layer.momentum for layer in self._layers()}
        for layer in momenta:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over all batches
            layer.train()
        for pixels, *_ in itertools.islice(self.batches.epoch(epoch), self.steps):
            with self.device.autocast(self.precision):
                self.network(pixels)
        for layer, momentum in momenta.items():
            layer.momentum = momentum
        self.network.train(was_training)

    def _layers(self) -> list[_BatchNorm]:
        return [
            layer
            for layer in self.network.modules()
            if isinstance(layer, _BatchNorm) and layer.track_running_stats
        ]
