"""Batches of pixels: in which order, augmented how. They stay uint8 until the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tenfold.core.randomness import derive_seed, sample_uniforms
from tenfold.data.augmentation import AugmentationPolicy, Mixing
from tenfold.data.dataset import ImageSplit
from tenfold.data.rebalancing import epoch_samples
from tenfold.engine.loss import MixedLabels, Targets
from tenfold.models.model import as_pixels


def epoch_order(count: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Give the order in which an epoch visits the images: a function of seed and epoch alone."""
    generator = np.random.default_rng(derive_seed(seed, "order", epoch))
    return generator.permutation(count)


@dataclass(frozen=True)
class TrainingBatches:
    """The shuffled, augmented batches of a training.

    Parameters
    ----------
    split
        Training images and labels.
    batch_size
        Images a batch; the last of an epoch may be smaller.
    policy
        Augmentation.
    mirror_keeps_class
        Whether the policy may flip.
    seed
        Of order and augmentation. Both depend on (seed, epoch, sample index) alone, so they are
        the same whatever was resumed, and whatever the batch size.
    device
        Where the batches are wanted; the whole split is put there once.
    mixing
        Mixes each image with another that the epoch shows; None for no mixing.
    images_per_epoch
        How many images of each class an epoch shows; None shows each image once.
    """

    split: ImageSplit
    batch_size: int
    policy: AugmentationPolicy
    mirror_keeps_class: bool
    seed: int
    device: torch.device
    mixing: Mixing | None = None
    images_per_epoch: tuple[int, ...] | None = None

    @property
    def epoch_length(self) -> int:
        """Give the number of images that an epoch shows."""
        return len(self.split) if self.images_per_epoch is None else sum(self.images_per_epoch)

    @property
    def steps_per_epoch(self) -> int:
        """Give the number of batches of one epoch."""
        return -(-self.epoch_length // self.batch_size)

    def epoch(self, epoch: int, *, first_step: int = 0) -> Iterator[tuple[Tensor, Targets]]:
        """Give the batches of one epoch, from `first_step` on.

        Yields
        ------
        pixels
            Shape (B, C, H, W), uint8 or float32, scale 0 to 255, channels last in memory.
        targets
            Labels, int64, shape (B,); of mixed images `MixedLabels`.
        """
        order = self._order(epoch)
        for step in range(first_step, self.steps_per_epoch):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            if self.mixing is None:
                yield self._view(epoch, chosen)
            else:
                yield self._mixed(self.mixing, epoch, chosen, order)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Give what an epoch shows, in order; see `epoch_samples` for values from N on."""
        if self.images_per_epoch is None:
            return epoch_order(len(self.split), seed=self.seed, epoch=epoch)
        return epoch_samples(self.split.labels, self.images_per_epoch, seed=self.seed, epoch=epoch)

    def _view(self, epoch: int, chosen: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Give images as the policy shows them in an epoch, and their labels."""
        index = torch.from_numpy(chosen % len(self.split)).to(self.device)
        pixels = _rows(self._pixels, index)
        if self.policy.uniforms_per_sample:
            uniforms = _below_one(self._uniforms(epoch, chosen))
            pixels = self.policy(
                pixels,
                torch.from_numpy(uniforms).to(self.device),
                mirror_keeps_class=self.mirror_keeps_class,
            )
        return pixels, self._labels[index]

    def _mixed(
        self,
        mixing: Mixing,
        epoch: int,
        chosen: npt.NDArray[np.int64],
        order: npt.NDArray[np.int64],
    ) -> tuple[Tensor, MixedLabels]:
        """Mix images with partners: any that the epoch shows, as the epoch shows it.

        A partner from the same batch would make an image depend on its batch.
        """
        numbers = sample_uniforms(
            self.seed, epoch, chosen, 1 + mixing.uniforms_per_sample, stream="mixing"
        )
        partners = order[(numbers[:, 0] * len(order)).astype(np.int64)]
        pixels, labels = self._view(epoch, chosen)
        partner_pixels, partner_labels = self._view(epoch, partners)
        uniforms = torch.from_numpy(_below_one(numbers[:, 1:])).to(self.device)
        mixed, share = mixing(pixels, partner_pixels, uniforms)
        return mixed, MixedLabels(labels, partner_labels, share)

    def _uniforms(self, epoch: int, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Draw the policy's numbers, shape (B, draws), float64."""
        uniforms = sample_uniforms(self.seed, epoch, chosen, self.policy.uniforms_per_sample)
        if places := list(self.policy.alternating_draws):
            first = sample_uniforms(self.seed, 0, chosen, len(places), stream="alternating")
            uniforms[:, places] = (first + 0.5 * (epoch % 2)) % 1.0
        return uniforms

    @cached_property
    def _pixels(self) -> Tensor:
        return as_pixels(self.split.images, self.device)

    @cached_property
    def _labels(self) -> Tensor:
        return torch.from_numpy(self.split.labels).to(self.device)


def _below_one(uniforms: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Round to float32 without reaching 1, which a policy would take for one pixel too far."""
    return np.minimum(uniforms, 1 - 2**-24).astype(np.float32)


def _rows(pixels: Tensor, index: Tensor) -> Tensor:
    """Gather images in their own memory order (rows of bytes), which a strided gather is not."""
    return pixels.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
