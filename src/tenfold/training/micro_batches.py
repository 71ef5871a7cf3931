"""A training step in micro-batches, which several workers share.

The batch is cut into a fixed number of micro-batches, whoever computes them. Each has batch norm's
statistics of its own (Hoffer et al., "Train longer, generalize better", arXiv 1705.08741, call that
ghost batch norm), its own dropout masks, and gives one flat vector: gradients, statistics, loss and
right answers, weighted by the micro-batch's share of the images. Their sum, in fixed order
(`tenfold.training.fixed_sum`), is all that a step needs. So every worker does the same step, and
the weights are the same bits for any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tenfold.data.store import AnyImages, some_images
from tenfold.training.batches import Targets, TrainingBatches
from tenfold.training.fixed_sum import WorkerGroup
from tenfold.training.inference import INFERENCE_BATCH_SIZE, fitting_batch_size

LEAST_IMAGES = 2
"""Of a micro-batch, where the batch has them: one image alone has no variance for batch norm."""


@dataclass(frozen=True)
class SharedBatch:
    """A batch of which this worker has some micro-batches.

    Parameters
    ----------
    count
        Images of the whole batch.
    parts
        This worker's micro-batches by their places; one without images is left out.
    """

    count: int
    parts: dict[int, tuple[Tensor, Targets]]

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class Part:
    """One micro-batch: its place in the batch, and its share of the batch's images."""

    place: int
    share: float
    pixels: Tensor
    targets: Targets


class MicroBatches:
    """The steps of a training, cut into micro-batches.

    Parameters
    ----------
    network
        What is trained.
    batches
        The training's images.
    count
        Micro-batches of a batch.
    group
        Who shares them.
    """

    def __init__(
        self, network: nn.Module, batches: TrainingBatches, count: int, group: WorkerGroup
    ) -> None:
        self._network = network
        self._batches = batches
        self._count = count
        self._group = group
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._gradient_values = sum(parameter.numel() for parameter in self._parameters)

    def epoch(self, epoch: int, *, first_step: int = 0) -> Iterator[tuple[SharedBatch, None]]:
        """Give this worker's part of the batches of one epoch, from `first_step` on."""
        own = self._group.share(self._count)
        for chosen, shown in self._batches.steps(epoch, first_step=first_step):
            count = min(self._count, max(1, len(chosen) // LEAST_IMAGES))
            edges = [len(chosen) * min(place, count) // count for place in range(self._count + 1)]
            rows = {place: chosen[edges[place] : edges[place + 1]] for place in own}
            parts = {place: shown(some) for place, some in rows.items() if len(some)}
            yield SharedBatch(len(chosen), parts), None

    def gradients(
        self, batch: SharedBatch, backward: Callable[[Part], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Give every parameter its gradient, every batch norm its statistics.

        Parameters
        ----------
        batch
            This worker's part of it.
        backward
            Adds the gradient of a micro-batch's mean loss, times its share, to the parameters';
            gives that loss, times its share, and the number of right answers.

        Returns
        -------
        loss, right
            Mean loss and number of right answers of the whole batch, scalars.
        """
        with _captured(self._network) as norms:
            values = self._gradient_values + norms.values + 2
            like = torch.empty(values, device=self._parameters[0].device)

            def term(place: int) -> Tensor:
                flat = torch.zeros_like(like)
                self._lay_gradients(flat)
                norms.rewind()
                share = 0.0
                if place in batch.parts:
                    pixels, targets = batch.parts[place]
                    share = len(pixels) / batch.count
                    loss, right = backward(Part(place, share, pixels, targets))
                    flat[-2], flat[-1] = loss, right
                norms.write(flat[self._gradient_values : -2], share)
                return flat

            total = self._group.total(self._count, term, like)
            norms.take(total[self._gradient_values : -2])
        self._lay_gradients(total)
        return total[-2], total[-1].round().long()

    def _lay_gradients(self, flat: Tensor) -> None:
        """Make parts of a vector the parameters' gradients, laid out in memory as they are."""
        start = 0
        for parameter in self._parameters:
            part = flat[start : start + parameter.numel()]
            # A fused optimiser walks through the memory of both side by side.
            parameter.grad = part.as_strided(parameter.size(), parameter.stride())
            start += parameter.numel()

    @torch.no_grad()
    def measure_norms(self, epoch: int, steps: int, forward: Callable[[Tensor], object]) -> None:
        """Set batch norm's statistics to their mean over an epoch's first batches.

        The layers that are to be set are in training mode.
        """
        with _captured(self._network) as norms:
            like = torch.empty(norms.values, device=self._parameters[0].device)

            def term(step: int) -> Tensor:
                flat = torch.zeros_like(like)
                pixels, _ = next(self._batches.epoch(epoch, first_step=step))
                forward(pixels)
                norms.write(flat, 1 / steps)
                return flat

            norms.take(self._group.total(steps, term, like), momentum=1.0)

    def logits(
        self, images: AnyImages, predict: Callable[[AnyImages], npt.NDArray[np.float32]]
    ) -> npt.NDArray[np.float32]:
        """Give the logits of images, shape (N, classes), in blocks that workers share."""
        size = fitting_batch_size(INFERENCE_BATCH_SIZE, images.shape[1:])
        starts = range(0, len(images), size)
        own = {
            start: predict(some_images(images, slice(start, start + size)))
            for start in (starts[block] for block in self._group.share(len(starts)))
        }
        some = next(iter(own.values())) if own else predict(some_images(images, slice(0, 1)))
        bits = torch.zeros((len(images), some.shape[1]), dtype=torch.int32)
        for start, block in own.items():
            bits[start : start + len(block)] = torch.from_numpy(block.view(np.int32))
        device = self._parameters[0].device  # of whole numbers, sums have no order
        known: npt.NDArray[np.int32] = self._group.all_integers(bits.to(device)).cpu().numpy()
        return known.view(np.float32)


class _CapturedNorms:
    """Batch norms in training mode, whose running statistics are those of the last batch alone."""

    def __init__(self, layers: list[_BatchNorm]) -> None:
        self._layers = layers
        self._before = [tuple(tensor.clone() for tensor in _statistics(one)) for one in layers]
        self._counts = [_steps_tracked(layer).clone() for layer in layers]
        self._momenta = [layer.momentum for layer in layers]
        self.values = sum(mean.numel() * 2 for mean, _ in self._before)
        for layer in layers:
            layer.momentum = 1.0

    def rewind(self) -> None:
        """Put the statistics before the step back, for a layer that takes none of its batch."""
        for layer, before in zip(self._layers, self._before, strict=True):
            for tensor, old in zip(_statistics(layer), before, strict=True):
                tensor.copy_(old)

    def write(self, place: Tensor, share: float) -> None:
        """Write the statistics, times a share, into a vector."""
        if self._layers:
            tensors = [tensor for layer in self._layers for tensor in _statistics(layer)]
            torch.mul(torch.cat(tensors), share, out=place)

    def take(self, total: Tensor, *, momentum: float | None = None) -> None:
        """Move every layer's statistics from those before towards the whole batch's.

        By the layer's own momentum, where none is given.
        """
        start = 0
        for layer, before, count, own in zip(
            self._layers, self._before, self._counts, self._momenta, strict=True
        ):
            share = own if momentum is None else momentum
            if share is None:  # a plain mean over all batches
                share = 1 / (int(count) + 1)
            for tensor, old in zip(_statistics(layer), before, strict=True):
                newest = total[start : start + tensor.numel()]
                tensor.copy_(old).lerp_(newest, share)
                start += tensor.numel()
            _steps_tracked(layer).copy_(count + 1)

    def release(self) -> None:
        """Give the layers their momenta back."""
        for layer, momentum in zip(self._layers, self._momenta, strict=True):
            layer.momentum = momentum


@contextmanager
def _captured(network: nn.Module) -> Iterator[_CapturedNorms]:
    norms = _CapturedNorms(
        [
            layer
            for layer in network.modules()
            if isinstance(layer, _BatchNorm) and layer.track_running_stats and layer.training
        ]
    )
    try:
        yield norms
    finally:
        norms.release()


def _statistics(layer: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean, layer.running_var


def _steps_tracked(layer: _BatchNorm) -> Tensor:
    assert layer.num_batches_tracked is not None
    return layer.num_batches_tracked
