"""Batches of augmented images, the size they are shown in, and the loss on them.

Images scaled down for the first part of a training: cheaper steps while shapes are learned.
Progressive resizing as in Tan and Le, "EfficientNetV2" (arXiv 2104.00298, section 4): the size
grows in equal strides from the first scale to the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tenfold.core.randomness import derive_seed, sample_uniforms
from tenfold.core.records.training import RebalancingPlan
from tenfold.data.augmentation import AugmentationPolicy, Mixing, PicturePolicy
from tenfold.data.dataset import ImageSplit
from tenfold.data.rebalancing import epoch_samples
from tenfold.data.store import StoredImages, fits_in_memory, in_memory, whole_pictures
from tenfold.models.model import as_pixels
from tenfold.training.prefetching import prefetched


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
        Where the batches are wanted; the whole split is put there once, if it fits the memory.
    mixing
        Mixes each image with another that the epoch shows; None for no mixing.
    images_per_epoch
        How many images of each class an epoch shows; None shows each image once.
    most_px
        Height and width that a policy which cuts out of whole pictures gives at most, what the
        network scales images to; None for those of the images.
    """

    split: ImageSplit
    batch_size: int
    policy: AugmentationPolicy
    mirror_keeps_class: bool
    seed: int
    device: torch.device
    mixing: Mixing | None = None
    images_per_epoch: tuple[int, ...] | None = None
    most_px: int | None = None

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
        batches = (shown(chosen) for chosen, shown in self.steps(epoch, first_step=first_step))
        yield from prefetched(batches) if self.are_read else batches

    @property
    def are_read(self) -> bool:
        """Say whether images are decoded or read for each batch, as they are not kept in memory."""
        images = self.split.images
        return not fits_in_memory(images) or (
            isinstance(self.policy, PicturePolicy) and isinstance(images, StoredImages)
        )

    def steps(
        self, epoch: int, *, first_step: int = 0
    ) -> Iterator[
        tuple[npt.NDArray[np.int64], Callable[[npt.NDArray[np.int64]], tuple[Tensor, Targets]]]
    ]:
        """Give which images the batches of one epoch show, and what gives some of them as shown."""
        order = self._order(epoch)

        def shown(chosen: npt.NDArray[np.int64]) -> tuple[Tensor, Targets]:
            if self.mixing is None:
                return self.view(epoch, chosen)
            return self._mixed(self.mixing, epoch, chosen, order)

        for chosen in self._chosen(order, first_step):
            yield chosen, shown

    def rows(
        self, epoch: int, *, first_step: int = 0
    ) -> Iterator[tuple[npt.NDArray[np.int64], Tensor]]:
        """Give which images the batches of one epoch show, and their labels, but not the images."""
        for chosen in self._chosen(self._order(epoch), first_step):
            places = chosen % len(self.split)
            yield places, self._labels[torch.from_numpy(places).to(self.device)]

    def _chosen(
        self, order: npt.NDArray[np.int64], first_step: int
    ) -> Iterator[npt.NDArray[np.int64]]:
        for step in range(first_step, self.steps_per_epoch):
            yield order[step * self.batch_size : (step + 1) * self.batch_size]

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Give what an epoch shows, in order; see `epoch_samples` for values from N on."""
        if self.images_per_epoch is None:
            return epoch_order(len(self.split), seed=self.seed, epoch=epoch)
        return epoch_samples(self.split.labels, self.images_per_epoch, seed=self.seed, epoch=epoch)

    def view(self, epoch: int, chosen: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Give images as the policy shows them in an epoch, and their labels."""
        rows = chosen % len(self.split)
        index = torch.from_numpy(rows).to(self.device)
        if isinstance(self.policy, PicturePolicy):
            return self._cut(self.policy, epoch, chosen), self._labels[index]
        images = self.split.images
        if fits_in_memory(images):
            pixels = _rows(self._pixels, index)
        else:
            pixels = as_pixels(images[rows], self.device)
        if self.policy.uniforms_per_sample:
            uniforms = _below_one(self._uniforms(epoch, chosen))
            pixels = self.policy(
                pixels,
                torch.from_numpy(uniforms).to(self.device),
                mirror_keeps_class=self.mirror_keeps_class,
            )
        return pixels, self._labels[index]

    def _cut(self, policy: PicturePolicy, epoch: int, chosen: npt.NDArray[np.int64]) -> Tensor:
        """Give images as the policy cuts them out of whole pictures in an epoch."""
        height, width = self.split.images.shape[1:3]
        most = self.most_px or max(height, width)
        pictures = whole_pictures(self.split.images, chosen % len(self.split))
        pixels = policy.cut(
            [torch.from_numpy(np.require(one, requirements=["C", "W"])) for one in pictures],
            torch.from_numpy(_below_one(self._uniforms(epoch, chosen))),
            size=(min(height, most), min(width, most)),
            mirror_keeps_class=self.mirror_keeps_class,
        )
        return pixels.to(self.device)

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
        pixels, labels = self.view(epoch, chosen)
        partner_pixels, partner_labels = self.view(epoch, partners)
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
        return as_pixels(in_memory(self.split.images), self.device)

    @cached_property
    def _labels(self) -> Tensor:
        return torch.from_numpy(self.split.labels).to(self.device)


def epoch_order(count: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Give the order in which an epoch visits the images: a function of seed and epoch alone."""
    generator = np.random.default_rng(derive_seed(seed, "order", epoch))
    return generator.permutation(count)


def _below_one(uniforms: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Round to float32 without reaching 1, which a policy would take for one pixel too far."""
    return np.minimum(uniforms, 1 - 2**-24).astype(np.float32)


def _rows(pixels: Tensor, index: Tensor) -> Tensor:
    """Gather images in their own memory order (rows of bytes), which a strided gather is not."""
    return pixels.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class MixedLabels:
    """Labels of images that were mixed with a partner.

    Parameters
    ----------
    labels, partners
        int64, shape (B,): of the image and of its partner.
    share
        float32, shape (B,), 0 to 1: how much of the mixture is the image.
    """

    labels: Tensor
    partners: Tensor
    share: Tensor

    @property
    def dominant(self) -> Tensor:
        """Give the label that most of a mixture shows: what a right answer is counted by."""
        return torch.where(self.share >= 0.5, self.labels, self.partners)


Targets = Tensor | MixedLabels
"""Labels, int64 of shape (B,), or those of mixtures."""


LEAST_SIZE_PX = 8
"""Nothing is scaled below this: too little is left to learn from."""
_STRIDE_PX = 4
"""Sizes grow by this: a library prepares its kernels anew for every size."""


def size_px(side: int, *, progress: float, share: float, scale: float) -> int:
    """Give the height (or width) that images are trained at.

    Parameters
    ----------
    side
        Height (or width) of the images, in pixels.
    progress
        Share of the training that is done, 0 to 1.
    share
        Share of the training during which the size grows; 0 for none.
    scale
        What it starts from, as a share of `side`.
    """
    if progress >= share or scale >= 1:
        return side
    grown = side * (scale + (1 - scale) * progress / share)
    least = min(side, LEAST_SIZE_PX)
    return min(side, max(least, _STRIDE_PX * round(grown / _STRIDE_PX)))


def images_gained(side: int, *, share: float, scale: float) -> float:
    """Give how many times as many images a time budget shows as it would at full resolution.

    An image's arithmetic goes with its area, so images a second go with 1 / size². While the size
    grows linearly over time from `scale` to 1, the mean of that is 1 / scale.

    Parameters
    ----------
    side
        Height or width of the images, in pixels, whichever is less.
    share, scale
        As for `size_px`.
    """
    least = min(1.0, LEAST_SIZE_PX / side)
    return share / max(scale, least) + (1 - share)


def scaled_down(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale a batch down, bilinear with antialiasing.

    Parameters
    ----------
    pixels
        uint8 or float32, shape (B, C, H, W), scale 0 to 255.
    size
        New height and width, in pixels.

    Returns
    -------
    Tensor
        float32, shape (B, C, height, width); the pixels themselves where nothing changes.
    """
    if tuple(pixels.shape[2:]) == size:
        return pixels
    return functional.interpolate(
        pixels.float(), size=size, mode="bilinear", antialias=True, align_corners=False
    )


@dataclass(frozen=True)
class TrainingLoss:
    """Mean cross-entropy over a batch.

    Parameters
    ----------
    label_smoothing
        Share of the target spread over all classes (arXiv 1512.00567).
    class_weights
        float32, shape (classes,): an image's loss is multiplied by that of its class; None for
        none. Their mean over the training images is 1, and the batch's mean is taken over its
        images, not over its weights, so that a batch's gradient is unbiased.
    logit_offsets
        float32, shape (classes,): added to the logits before the loss; None for none. The smoothed
        share of the target is then spread by the offsets' softmax, the classes' shares, not evenly:
        an even share of a rare class would, without its offset, outweigh the right class.
    """

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    logit_offsets: Tensor | None = None

    @classmethod
    def rebalanced(
        cls, plan: RebalancingPlan, *, label_smoothing: float, device: torch.device
    ) -> TrainingLoss:
        """Give the loss that a plan asks for."""
        return cls(
            label_smoothing,
            _tensor(plan.class_weights, device),
            _tensor(plan.logit_offsets, device),
        )

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        """Give the mean loss of a batch, a scalar.

        Parameters
        ----------
        logits
            float32, shape (B, classes).
        targets
            Of the same images.
        """
        if isinstance(targets, MixedLabels):
            own = self._losses(logits, targets.labels)
            partner = self._losses(logits, targets.partners)
            return (targets.share * own + (1 - targets.share) * partner).mean()
        if self.class_weights is None and self.logit_offsets is None:
            return functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        return self._losses(logits, targets).mean()

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Give each image's loss, shape (B,)."""
        if self.logit_offsets is None:
            losses = functional.cross_entropy(
                logits, labels, label_smoothing=self.label_smoothing, reduction="none"
            )
        else:
            logarithms = (logits + self.logit_offsets).log_softmax(1)  # (B, classes)
            hard = functional.nll_loss(logarithms, labels, reduction="none")
            spread = -(logarithms * self.logit_offsets.softmax(0)).sum(1)
            losses = (1 - self.label_smoothing) * hard + self.label_smoothing * spread
        return losses if self.class_weights is None else losses * self.class_weights[labels]


def _tensor(values: Sequence[float] | None, device: torch.device) -> Tensor | None:
    return None if values is None else torch.tensor(values, dtype=torch.float32, device=device)


def right_answers(logits: Tensor, targets: Targets) -> Tensor:
    """Count the images whose class (of a mixture: the larger share's) has the highest logit."""
    labels = targets.dominant if isinstance(targets, MixedLabels) else targets
    return (logits.argmax(1) == labels).sum()
