"""EfficientNet-Lite: a network for ImageNet that is made of plain convolutions and ReLU6.

Sources: Tan and Le, "EfficientNet" (arXiv 1905.11946), for the blocks and their scaling;
github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite for what *Lite* changes: no
squeeze-and-excitation, ReLU6 for swish, and a stem, first stage, last stage and head that do not
grow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
_NORM_EPSILON = 1e-3  # of TensorFlow's implementation
_NORM_MOMENTUM = 0.1  # torch's default; TensorFlow's is 0.01, for its many thousands of steps
_CHANNEL_DIVISOR = 8

_STAGES = (
    # (blocks, kernel_size, stride, expansion, channels): table 1 of arXiv 1905.11946
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class LiteSize:
    """How far a member of the family is scaled up from the first.

    Parameters
    ----------
    width, depth
        Factors on the channels and on the blocks of a stage.
    image_size_px
        Height and width of the images that its ImageNet weights were trained with.
    """

    width: float
    depth: float
    image_size_px: int


LITE_SIZES = {
    "efficientnet-lite0": LiteSize(1.0, 1.0, 224),
    "efficientnet-lite1": LiteSize(1.0, 1.1, 240),
    "efficientnet-lite2": LiteSize(1.1, 1.2, 260),
}
"""Width, depth and image size of TensorFlow's first three sizes."""


class ConvNorm(nn.Module):
    """A convolution with TensorFlow's padding, and batch norm (arXiv 1502.03167), as one layer.

    With the running statistics, batch norm is a factor and a term a channel. Both are then folded
    into the convolution, which saves a pass over the map.

    Parameters
    ----------
    inputs, outputs
        Channels.
    kernel_size, stride, groups
        Of the convolution.

    Attributes
    ----------
    keeps_statistics
        Whether training, too, normalises by the running statistics and leaves them as they are.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int = 1, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.groups = groups
        self.keeps_statistics = False
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, kernel_size, kernel_size))
        self.norm_weight = nn.Parameter(torch.ones(outputs))
        self.norm_bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("running_mean", torch.zeros(outputs))
        self.register_buffer("running_variance", torch.ones(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Give features of shape (B, outputs, ceil(H / stride), ceil(W / stride))."""
        padding, features = self._padded(features)
        if self.training and not self.keeps_statistics:
            output = functional.conv2d(
                features, self.weight, None, self.stride, padding, groups=self.groups
            )
            if output.numel() > output.shape[1]:  # one value a channel has no variance
                return functional.batch_norm(
                    output,
                    self.running_mean,
                    self.running_variance,
                    self.norm_weight,
                    self.norm_bias,
                    training=True,
                    momentum=_NORM_MOMENTUM,
                    eps=_NORM_EPSILON,
                )
        factor = self.norm_weight * (self.running_variance + _NORM_EPSILON).rsqrt()
        return functional.conv2d(
            features,
            self.weight * factor.view(-1, 1, 1, 1),
            self.norm_bias - self.running_mean * factor,
            self.stride,
            padding,
            groups=self.groups,
        )

    def _padded(self, features: Tensor) -> tuple[int, Tensor]:
        """Give the padding that is left to the convolution, and features padded where uneven.

        TensorFlow's ``SAME`` puts the odd pixel to the right and to the bottom, which torch's
        convolution cannot.
        """
        if self.stride == 1:
            return self.kernel_size // 2, features
        (top, bottom), (left, right) = (
            _same_padding(size, self.kernel_size, self.stride) for size in features.shape[2:]
        )
        return 0, functional.pad(features, (left, right, top, bottom))


def _same_padding(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection; added to its input where the shapes agree."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel_size: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = ConvNorm(inputs, inner) if expansion > 1 else None
        self.depthwise = ConvNorm(inner, inner, kernel_size, stride=stride, groups=inner)
        self.project = ConvNorm(inner, outputs)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """Give features of shape (B, outputs, ceil(H / stride), ceil(W / stride))."""
        inner = features
        if self.expand is not None:
            inner = functional.relu6(self.expand(inner), inplace=True)
        inner = functional.relu6(self.depthwise(inner), inplace=True)
        output: Tensor = self.project(inner)
        return output + features if self.is_residual else output


class EfficientNetLite(nn.Module):
    """The convolutions of an EfficientNet-Lite, without the classes' layer.

    Parameters
    ----------
    size
        Which member of the family.

    Attributes
    ----------
    stage_depths
        Blocks of each stage.
    map_channels
        Of each map that `forward` gives.
    """

    def __init__(self, size: LiteSize) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList()
        self.stage_depths: list[int] = []
        self.map_channels: list[int] = []
        channels = STEM_CHANNELS
        for place, (blocks, kernel_size, stride, expansion, base) in enumerate(_STAGES):
            is_end = place in (0, len(_STAGES) - 1)
            depth = blocks if is_end else math.ceil(blocks * size.depth)
            width = _scaled_channels(base, size.width)
            stage = nn.Sequential()
            for block in range(depth):
                stage.append(
                    InvertedResidual(
                        channels,
                        width,
                        kernel_size=kernel_size,
                        stride=stride if block == 0 else 1,
                        expansion=expansion,
                    )
                )
                channels = width
            self.stages.append(stage)
            self.stage_depths.append(depth)
            self.map_channels.append(width)
        self.head = ConvNorm(channels, HEAD_CHANNELS)
        self.map_channels.append(HEAD_CHANNELS)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Give the map after every stage and after the head, shapes (B, C, H, W)."""
        features, maps = self.lower(images, 0)
        return maps + self.upper(features, 0)

    def lower(self, images: Tensor, stages: int) -> tuple[Tensor, list[Tensor]]:
        """Give the map that the first stages end with, and the map after each of them."""
        features = functional.relu6(self.stem(images), inplace=True)
        return self._through(self.stages[:stages], features)

    def upper(self, features: Tensor, stages: int) -> list[Tensor]:
        """Give the maps after the further stages and the head, of what `lower` gave."""
        features, maps = self._through(self.stages[stages:], features)
        return [*maps, functional.relu6(self.head(features), inplace=True)]

    def _through(
        self, stages: Iterable[nn.Module], features: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        maps = []
        for stage in stages:
            features = stage(features)
            maps.append(features)
        return features, maps


def _scaled_channels(channels: int, width: float) -> int:
    """Scale channels and round to a multiple of 8, never down by more than a tenth."""
    scaled = channels * width
    rounded = max(
        _CHANNEL_DIVISOR, int(scaled + _CHANNEL_DIVISOR / 2) // _CHANNEL_DIVISOR * _CHANNEL_DIVISOR
    )
    return rounded + _CHANNEL_DIVISOR if rounded < 0.9 * scaled else rounded


def published_names(stage_depths: Sequence[int]) -> dict[str, str]:
    """Give our name of every tensor of a published weight file that we use, by the file's name.

    Parameters
    ----------
    stage_depths
        Blocks of each stage.
    """
    names = _layer_names("_conv_stem", "_bn0", "stem") | _layer_names("_conv_head", "_bn1", "head")
    number = 0
    for stage, depth in enumerate(stage_depths):
        for block in range(depth):
            theirs, ours = f"_blocks.{number}.", f"stages.{stage}.{block}."
            if _STAGES[stage][3] > 1:
                names |= _layer_names(f"{theirs}_expand_conv", f"{theirs}_bn0", f"{ours}expand")
            names |= _layer_names(f"{theirs}_depthwise_conv", f"{theirs}_bn1", f"{ours}depthwise")
            names |= _layer_names(f"{theirs}_project_conv", f"{theirs}_bn2", f"{ours}project")
            number += 1
    return names


def _layer_names(convolution: str, norm: str, ours: str) -> dict[str, str]:
    return {
        f"{convolution}.weight": f"{ours}.weight",
        f"{norm}.weight": f"{ours}.norm_weight",
        f"{norm}.bias": f"{ours}.norm_bias",
        f"{norm}.running_mean": f"{ours}.running_mean",
        f"{norm}.running_var": f"{ours}.running_variance",
    }
