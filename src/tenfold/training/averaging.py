"""Averages of the weights along a training, and batch norm's statistics that belong to them.

Sources: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (SWA,
arXiv 1803.05407); the exponential moving average as in tf.train.ExponentialMovingAverage.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tenfold.models.model import copied_weights
from tenfold.training.device import Device
from tenfold.training.settings import TrainingSettings

if TYPE_CHECKING:
    from tenfold.training.batches import TrainingBatches
    from tenfold.training.micro_batches import MicroBatches

STATISTICS_IMAGES = 5000
"""Training images that the statistics are measured on, about: enough for two digits of a channel's
variance, and a tenth of an epoch's forward passes on CIFAR-10."""


@dataclass
class WeightAverage:
    """A running average of a network's weights, float buffers included.

    Parameters
    ----------
    weights
        The average, by the names of the network's tensors; empty until the first step is taken in.
    steps
        How many steps it has taken in.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0

    @torch.no_grad()
    def update(self, network: nn.Module, settings: TrainingSettings, progress: float) -> None:
        """Take the network's weights in after a step, if the settings ask for it at this point.

        Parameters
        ----------
        network
            Whose weights.
        settings
            `averaging` and what belongs to it.
        progress
            Share of the training that was done in the middle of the step, 0 to 1.
        """
        if not _is_averaging(settings, progress):
            return
        share = _newest_share(settings, self.steps)
        self.steps += 1
        if not self.weights:
            self.weights = copied_weights(network)
            return
        for name, newest in network.state_dict().items():
            if newest.is_floating_point():
                self.weights[name].lerp_(newest, share)
            else:
                self.weights[name].copy_(newest)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Lend the network the average; its own weights are back, bit for bit, afterwards."""
        if not self.weights:
            yield
            return
        own = copied_weights(network)
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def adopt_layout(self, network: nn.Module) -> None:
        """Lay the tensors out in memory as the network's are, after they were read from a file.

        The same sum may be rounded otherwise where two tensors are walked through in different
        orders, and a resumed training has to be the same bit for bit.

        Raises
        ------
        KeyError, RuntimeError
            If the average is not of this network.
        """
        if self.weights:
            self.weights = {
                name: torch.empty_like(tensor).copy_(self.weights[name])
                for name, tensor in network.state_dict().items()
            }


def _is_averaging(settings: TrainingSettings, progress: float) -> bool:
    """Say whether the step at this share of the training is taken into the average."""
    match settings.averaging:
        case "none":
            return False
        case "ema":
            return True
        case "swa":
            return progress >= 1 - settings.swa_share


def _newest_share(settings: TrainingSettings, steps: int) -> float:
    """Give what the newest weights count for beside an average of `steps` steps."""
    if settings.averaging == "swa":
        # The paper takes an epoch's last weights. Those of every step are a denser sample of the
        # same path, and a training of four epochs has something to average.
        return 1 / (steps + 1)
    # A young average forgets faster, or it would hold the fresh network for long: after
    # tf.train.ExponentialMovingAverage (num_updates).
    return 1 - min(settings.ema_decay, (1 + steps) / (10 + steps))


def held_progress(settings: TrainingSettings, progress: float) -> float:
    """Give the share of the training that schedules are asked for.

    Stochastic weight averaging needs steps that still go somewhere (arXiv 1803.05407, section 3.2),
    so the learning rate stays where the averaging begins.
    """
    return min(progress, 1 - settings.swa_share) if settings.averaging == "swa" else progress


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
    def measure(self, epoch: int, shared: MicroBatches | None = None) -> None:
        """Measure on the first batches of an epoch. Dropout is off: so it will be in use.

        `shared` has workers share them.
        """
        was_training = self.network.training
        self.network.eval()
        momenta = {layer: layer.momentum for layer in self._layers()}
        for layer in momenta:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over all batches
            layer.train()
        if shared is not None:
            shared.measure_norms(epoch, self.steps, self._forward)
        else:
            for pixels, *_ in itertools.islice(self.batches.epoch(epoch), self.steps):
                self._forward(pixels)
        for layer, momentum in momenta.items():
            layer.momentum = momentum
        self.network.train(was_training)

    def _forward(self, pixels: Tensor) -> None:
        with self.device.autocast(self.precision):
            self.network(pixels)

    def _layers(self) -> list[_BatchNorm]:
        return [
            layer
            for layer in self.network.modules()
            if isinstance(layer, _BatchNorm) and layer.track_running_stats
        ]
