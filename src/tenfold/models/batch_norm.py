"""Batch normalisation that takes any batch, one of a single image too."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class BatchNorm(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, but for a batch with one value a channel.

    Such a batch (one image whose map is one pixel, as the last batch of an epoch may be) has no
    variance, and torch raises an error. It is normalised by the running statistics instead, and
    leaves them as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise features, shape (B, C, H, W)."""
        if not self.training or input.numel() > self.num_features:
            return super().forward(input)
        return functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
