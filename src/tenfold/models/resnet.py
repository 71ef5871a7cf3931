"""Residual networks for small images, narrow and wide, with another stem for large ones.

Sources: He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385, section 4.2:
depth 6n + 2 in three groups of 16, 32 and 64 channels); Zagoruyko and Komodakis, "Wide Residual
Networks" (arXiv 1605.07146: the width multiplier, and dropout between the two convolutions).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from tenfold.core.records.tuning import Ingredient, SearchDimension
from tenfold.core.settings import Settings
from tenfold.models.layers import (
    BatchNorm,
    Dropout,
    StemName,
    check_image_size,
    choose_stem,
    initialise_he,
    make_stem,
)
from tenfold.models.model import Model, NetworkBody

_FIRST_WIDTH = 16
"""Channels of the stem and, times the multiplier, of the first group (both papers)."""
_GROUPS = 3


class ResnetSettings(Settings):
    """Settings of the residual network.

    Attributes
    ----------
    depth
        Convolutions on the longest way, and the output layer: 6n + 2 for n blocks in each of the
        three groups. The paper has 20, 32, 44, 56 and 110. The wide networks' papers count the
        projections too: their WRN-28-10 is depth 26, width 10.
    width
        Multiplier of the channels 16, 32 and 64 of the three groups.
    stem
        First layers: ``small`` keeps the image's size, ``large`` shrinks it by 4 at once, ``auto``
        takes the large one from 96 pixels on (`tenfold.models.layers`).
    dropout
        Rate between the two convolutions of a block.
    has_zero_last_scale
        Whether the last normalisation of each block starts with scale 0, so that the block passes
        its input on at first (Goyal et al., arXiv 1706.02677, section 5.1).
    """

    depth: int = Field(20, ge=8, le=1202)
    width: float = Field(1.0, ge=0.25, le=32)
    stem: StemName = "auto"
    dropout: float = Field(0.0, ge=0, lt=1)
    has_zero_last_scale: bool = False

    @model_validator(mode="after")
    def _whole_blocks(self) -> Self:
        if (self.depth - 2) % 6:
            below = self.depth - (self.depth - 2) % 6
            raise ValueError(
                f"depth must be 6n + 2, so that the three groups have n blocks each: {below} or "
                f"{below + 6} instead of {self.depth}"
            )
        return self

    @property
    def blocks_per_group(self) -> int:
        """Give the paper's n."""
        return (self.depth - 2) // 6


class ResidualSum(nn.Module):
    """Adds a block's input to what the block made of it."""

    def forward(self, made: Tensor, passed: Tensor) -> Tensor:
        """Give the sum of two maps of one shape (B, C, H, W)."""
        return made + passed


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions and a way around them.

    Where the shape changes, a 1 × 1 convolution projects the input (option B of the paper).
    """

    def __init__(self, channels: int, width: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.first_norm = BatchNorm(width)
        self.first_activation = nn.ReLU(inplace=True)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.second_norm = BatchNorm(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            projection = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(projection=projection, norm=BatchNorm(width)))
        self.sum = ResidualSum()
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Give the block's map, shape (B, width, H / stride, W / stride)."""
        made = self.first_activation(self.first_norm(self.first(features)))
        made = self.second_norm(self.second(self.dropout(made)))
        result: Tensor = self.activation(self.sum(made, self.shortcut(features)))
        return result


class Resnet(NetworkBody):
    """Stem, three groups of residual blocks, the mean over all places, and the output layer."""

    def __init__(
        self, settings: ResnetSettings, image_shape: tuple[int, int, int], class_count: int
    ) -> None:
        super().__init__()
        stem = choose_stem(settings.stem, image_shape)
        check_image_size("resnet", image_shape, stem, halvings=_GROUPS - 1)
        self.stem = make_stem(stem, image_shape[2], _FIRST_WIDTH)
        channels = _FIRST_WIDTH
        self.groups = nn.ModuleList()
        for group in range(_GROUPS):
            width = round(_FIRST_WIDTH * 2**group * settings.width)
            blocks = nn.Sequential()
            for block in range(settings.blocks_per_group):
                stride = 2 if group > 0 and block == 0 else 1
                blocks.append(ResidualBlock(channels, width, stride, settings.dropout))
                channels = width
            self.groups.append(blocks)
        self.pooling = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.output = nn.Linear(channels, class_count)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits, shape (B, classes), for normalised images (B, C, H, W)."""
        features = self.stem(images)  # (B, 16, H, W), or a quarter of H and W
        for group in self.groups:
            features = group(features)  # (B, width, H', W')
        logits: Tensor = self.output(self.flatten(self.pooling(features)))
        return logits


@torch.no_grad()
def _silence_blocks(network: Resnet) -> None:
    for layer in network.modules():
        if isinstance(layer, ResidualBlock):
            layer.second_norm.weight.zero_()


class ResnetModel(Model):
    """Residual blocks in three groups."""

    name = "resnet"
    summary = "Residual network of depth 20 to 110, narrow or wide; the most accuracy for hours"
    settings_type = ResnetSettings
    takes_any_size = True
    search_space = (
        SearchDimension(name="model.depth", low=20, high=56, step=6),
        SearchDimension(name="model.width", low=1, high=4, step=1),
        SearchDimension(name="model.dropout", low=0.0, high=0.3, step=0.1),
        SearchDimension(name="model.has_zero_last_scale", choices=(False, True)),
    )
    ingredients = (
        Ingredient(
            name="zero-last-scale",
            title="Blocks that begin silent",
            without="every scale begins at 1",
            changes={"model.has_zero_last_scale": False},
        ),
        Ingredient(
            name="dropout",
            title="Dropout",
            without="every activation kept",
            changes={"model.dropout": 0.0},
        ),
    )

    def build(
        self,
        settings: ResnetSettings,
        *,
        image_shape: tuple[int, int, int],
        class_count: int,
        generator: torch.Generator,
    ) -> NetworkBody:
        """Build the network; see `tenfold.models.model.Model.build`."""
        network = Resnet(settings, image_shape, class_count)
        initialise_he(network, generator)
        if settings.has_zero_last_scale:
            _silence_blocks(network)
        return network


MODEL = ResnetModel()
