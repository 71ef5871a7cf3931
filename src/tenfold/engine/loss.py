"""The loss of a training step: cross-entropy, for mixed labels and rebalanced classes too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tenfold.core.records.training import RebalancingPlan


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


def right_answers(logits: Tensor, targets: Targets) -> Tensor:
    """Count the images whose class (of a mixture: the larger share's) has the highest logit."""
    labels = targets.dominant if isinstance(targets, MixedLabels) else targets
    return (logits.argmax(1) == labels).sum()


def _tensor(values: Sequence[float] | None, device: torch.device) -> Tensor | None:
    return None if values is None else torch.tensor(values, dtype=torch.float32, device=device)
