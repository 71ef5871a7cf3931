"""Layers that commute with mirroring an image left to right: equivariant by construction.

Half of the channels are the mirror image of the other half: channel ``c + C/2`` shows of an image
what channel ``c`` shows of its mirror image, mirrored. So every kernel is learned from an image and
its mirror image at once, and a network of such layers that ends in a sum over the two halves says
the same of both, which a plain network only learns to do (and test-time augmentation pays a second
prediction for).

Sources: Cohen and Welling, "Group Equivariant Convolutional Networks" (arXiv 1602.07576), here for
the group of the identity and the mirror.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tenfold.models.batch_norm import BatchNorm


class MirrorConvolution(nn.Module):
    """A convolution without biases whose second half of outputs mirrors the first.

    Parameters
    ----------
    channels
        Of the input. Its channel i has the mirror partner ``partners[i]``; halves that mirror each
        other unless that is set otherwise.
    width
        Channels of the output, even.
    kernel_px, stride, padding
        As for `torch.nn.Conv2d`.
    """

    partners: Tensor

    def __init__(
        self, channels: int, width: int, kernel_px: int, *, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = padding
        self.weight = nn.Parameter(torch.empty(width // 2, channels, kernel_px, kernel_px))
        self.register_buffer("partners", torch.arange(channels).roll(channels // 2))
        self._evaluated: tuple[tuple[object, ...], Tensor] | None = None

    def forward(self, features: Tensor) -> Tensor:
        """Give features, shape (B, width, H, W)."""
        kernel = self._kernel(features.dtype)
        return functional.conv2d(features, kernel, stride=self.stride, padding=self.padding)

    def _kernel(self, dtype: torch.dtype) -> Tensor:
        """Give the kernel of all outputs; outside training that of the last call, if it holds."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._both_halves(dtype)
        weight = self.weight
        state = (weight._version, weight.data_ptr(), self.partners._version, weight.device, dtype)
        kept = self._evaluated
        if kept is None or kept[0] != state:
            kept = self._evaluated = (state, self._both_halves(dtype))
        return kept[1]

    def _both_halves(self, dtype: torch.dtype) -> Tensor:
        learned = self.weight.to(dtype)
        return torch.cat((learned, self.mirrored(learned)))

    def mirrored(self, half: Tensor) -> Tensor:
        """Give the second half of outputs' kernel (or its gradient) from the first's."""
        return half[:, self.partners].flip(3)


class MirrorBatchNorm(BatchNorm):
    """Batch norm that treats a channel and its mirror image as one, shape (B, width, H, W).

    Parameters
    ----------
    width
        Channels, even.
    momentum
        As for `torch.nn.BatchNorm2d`.
    """

    def __init__(self, width: int, *, momentum: float) -> None:
        super().__init__(width // 2, momentum=momentum)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise; channels last in memory, the halves are neighbours and nothing is copied."""
        if not self.training:
            return self._by_running_statistics(input)
        count, width, rows, columns = input.shape
        pairs = input.permute(0, 2, 3, 1).reshape(count, rows, 2 * columns, width // 2)
        normalized = super().forward(pairs.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return normalized.reshape(count, rows, columns, width).permute(0, 3, 1, 2)

    def _by_running_statistics(self, input: Tensor) -> Tensor:
        """Normalise each half by the same, in a form that what runs exported files folds away."""
        assert self.running_mean is not None
        assert self.running_var is not None
        of_half = (self.running_mean, self.running_var, self.weight, self.bias)
        mean, variance, weight, bias = (torch.cat((values, values)) for values in of_half)
        return functional.batch_norm(input, mean, variance, weight, bias, eps=self.eps)


class MirrorMaxPool(nn.Module):
    """Maxima at a stride of 2, of windows that lie symmetrically: 2 wide on even sides, else 3."""

    def forward(self, features: Tensor) -> Tensor:
        """Pool features, shape (B, C, H, W), both sides at least 2."""
        height, width = features.shape[2:]
        # An exporter that traces gets Python's numbers so, not sums of the features' size.
        window = (3 if height % 2 else 2, 3 if width % 2 else 2)
        return functional.max_pool2d(features, window, stride=2)


def mirror_bases(channels: int, patch_px: int) -> tuple[Tensor, Tensor]:
    """Give orthonormal bases of the patches that are their own mirror image, and of the negatives.

    Parameters
    ----------
    channels, patch_px
        Of a patch; its values are in the order (channel, row, column).

    Returns
    -------
    symmetric, antisymmetric
        float64, shapes (values, dimensions); together they span all patches.
    """
    shape = (channels, patch_px, patch_px)
    patches = torch.eye(channels * patch_px**2, dtype=torch.float64)
    mirror = patches.view(-1, *shape).flip(3).flatten(1)
    signs, vectors = torch.linalg.eigh(mirror)  # 1 and -1
    return vectors[:, signs > 0], vectors[:, signs < 0]
