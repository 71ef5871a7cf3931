"""Inception blocks with batch norm, sized for small images, with another stem for large ones.

Sources: Szegedy et al., "Going Deeper with Convolutions" (GoogLeNet, arXiv 1409.4842: the block and
its proportions); Ioffe and Szegedy, "Batch Normalization" (arXiv 1502.03167: normalised, and two
3 × 3 convolutions in the place of the 5 × 5).
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
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

BlockCount = Annotated[int, Field(ge=1, le=32)]

_GRAIN = 16
"""A block's channels are a multiple of this, so that its smallest share is whole."""
_FIRST_WIDTH = 64
"""Output channels of the first stage's blocks; the stages after it have 2 and 4 times as many."""


class InceptionSettings(Settings):
    """Settings of the Inception network.

    Attributes
    ----------
    blocks
        Inception blocks of each of the three stages; pooling halves the map between them.
    width
        Multiplier of the blocks' output channels 64, 128 and 256 (rounded to multiples of 16).
    stem
        First layers: ``small`` keeps the image's size, ``large`` shrinks it by 4 at once, ``auto``
        takes the large one from 96 pixels on (`tenfold.models.layers`).
    dropout
        Rate before the output layer (GoogLeNet: 0.4, with many more channels).
    """

    blocks: tuple[BlockCount, BlockCount, BlockCount] = (2, 2, 2)
    width: float = Field(1.0, ge=0.25, le=16)
    stem: StemName = "auto"
    dropout: float = Field(0.2, ge=0, lt=1)


class Concatenation(nn.Module):
    """Lays the maps of several branches on top of each other."""

    def forward(self, *maps: Tensor) -> Tensor:
        """Give one map with the channels of all, shape (B, sum of C, H, W)."""
        return torch.cat(maps, 1)


class InceptionBlock(nn.Module):
    """Looks at every place through windows of 1, 3 and 5 pixels and a pooled one, side by side.

    1 × 1 convolutions first make the wide inputs narrow. Of the output channels the four branches
    have 1/4, 1/2, 1/8 and 1/8, and the 3 × 3 and 5 × 5 read 3/8 and 1/16 of that number:
    GoogLeNet's first block, "3a".

    Parameters
    ----------
    channels
        Of the input.
    width
        Of the output; a multiple of 16.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        share = width // _GRAIN
        self.window_1 = _unit(channels, 4 * share, 1)
        self.window_3 = nn.Sequential(_unit(channels, 6 * share, 1), _unit(6 * share, 8 * share, 3))
        self.window_5 = nn.Sequential(
            _unit(channels, share, 1), _unit(share, 2 * share, 3), _unit(2 * share, 2 * share, 3)
        )
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _unit(channels, 2 * share, 1))
        self.concatenation = Concatenation()

    def forward(self, features: Tensor) -> Tensor:
        """Give the block's map, shape (B, width, H, W)."""
        joined: Tensor = self.concatenation(
            self.window_1(features),
            self.window_3(features),
            self.window_5(features),
            self.pooled(features),
        )
        return joined


def _unit(channels: int, width: int, kernel: int) -> nn.Sequential:
    unit = nn.Sequential()
    unit.add_module(
        "convolution", nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
    )
    unit.add_module("norm", BatchNorm(width))
    unit.add_module("activation", nn.ReLU(inplace=True))
    return unit


class Inception(NetworkBody):
    """Stem, three stages of Inception blocks, the mean over all places, and the output layer."""

    def __init__(
        self, settings: InceptionSettings, image_shape: tuple[int, int, int], class_count: int
    ) -> None:
        super().__init__()
        stem = choose_stem(settings.stem, image_shape)
        check_image_size("inception", image_shape, stem, halvings=len(settings.blocks) - 1)
        channels = _width(settings, 0)
        self.stem = make_stem(stem, image_shape[2], channels)
        self.stages = nn.ModuleList()
        for place, count in enumerate(settings.blocks):
            stage = nn.Sequential()
            if place > 0:
                stage.add_module("pooling", nn.MaxPool2d(3, 2, padding=1))
            for block in range(count):
                width = _width(settings, place)
                stage.add_module(f"block_{block}", InceptionBlock(channels, width))
                channels = width
            self.stages.append(stage)
        self.pooling = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = Dropout(settings.dropout)
        self.output = nn.Linear(channels, class_count)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits, shape (B, classes), for normalised images (B, C, H, W)."""
        features = self.stem(images)  # (B, width, H, W), or a quarter of H and W
        for stage in self.stages:
            features = stage(features)  # (B, width, H', W')
        logits: Tensor = self.output(self.dropout(self.flatten(self.pooling(features))))
        return logits


def _width(settings: InceptionSettings, stage: int) -> int:
    wanted = _FIRST_WIDTH * (1 << stage) * settings.width
    return max(1, round(wanted / _GRAIN)) * _GRAIN


class InceptionModel(Model):
    """Inception blocks in three stages."""

    name = "inception"
    summary = "Inception blocks: windows of 1, 3 and 5 pixels side by side, with batch norm"
    settings_type = InceptionSettings
    takes_any_size = True
    search_space = (
        *(
            SearchDimension(name=f"model.blocks.{stage}", low=1, high=4, step=1)
            for stage in range(3)
        ),
        SearchDimension(name="model.width", low=0.5, high=2.0, step=0.5),
        SearchDimension(name="model.dropout", low=0.0, high=0.5, step=0.1),
    )
    ingredients = (
        Ingredient(
            name="dropout",
            title="Dropout",
            without="every activation kept",
            changes={"model.dropout": 0.0},
        ),
    )

    def build(
        self,
        settings: InceptionSettings,
        *,
        image_shape: tuple[int, int, int],
        class_count: int,
        generator: torch.Generator,
    ) -> NetworkBody:
        """Build the network; see `tenfold.models.model.Model.build`."""
        network = Inception(settings, image_shape, class_count)
        initialise_he(network, generator)
        return network


MODEL = InceptionModel()
