"""The plain convolutional network of the original report, with optional batch normalisation."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from tenfold.core.errors import ImageShapeError
from tenfold.core.records.tuning import Condition, Ingredient, SearchDimension
from tenfold.core.settings import Settings
from tenfold.models.layers import BatchNorm, Dropout
from tenfold.models.model import Model, NetworkBody

FilterCount = Annotated[int, Field(ge=1, le=4096)]


class CnnSettings(Settings):
    """Settings of the plain convolutional network; defaults are the original report's tuned ones.

    Attributes
    ----------
    conv_layers
        Number of convolution blocks (convolution, max pooling by 2, dropout).
    filters
        Output channels of each convolution; the first `conv_layers` of them are used.
    kernel_size
        Height and width of the convolution kernels, in pixels.
    padding
        ``valid``: no padding, the map shrinks by kernel_size - 1 (Keras' default); ``same``: zeros
        keep its size.
    units
        Width of the hidden dense layer.
    conv_dropout, dense_dropout
        Dropout rate after each block and after the hidden dense layer.
    has_batch_norm
        Batch normalisation after each convolution (arXiv 1502.03167).
    """

    conv_layers: int = Field(2, ge=1, le=8)
    filters: tuple[FilterCount, ...] = (64, 32, 64)
    kernel_size: int = Field(3, ge=1, le=15)
    padding: Literal["valid", "same"] = "valid"
    units: int = Field(128, ge=1, le=65536)
    conv_dropout: float = Field(0.25, ge=0, lt=1)
    dense_dropout: float = Field(0.5, ge=0, lt=1)
    has_batch_norm: bool = False

    @model_validator(mode="after")
    def _enough_filters(self) -> Self:
        if len(self.filters) < self.conv_layers:
            raise ValueError(
                f"conv_layers is {self.conv_layers} but filters names {len(self.filters)} layers"
            )
        return self


class _Cnn(NetworkBody):
    def __init__(
        self, settings: CnnSettings, image_shape: tuple[int, int, int], class_count: int
    ) -> None:
        super().__init__()
        height, width, channels = image_shape
        self.used_size = tuple(_used_size(size, settings) for size in (height, width))
        self.blocks = nn.ModuleList()
        for layer in range(settings.conv_layers):
            height, width = (_size_after_block(size, settings) for size in (height, width))
            if min(height, width) < 1:
                raise ImageShapeError(
                    f"Images of {image_shape[0]}×{image_shape[1]} pixels are too small for "
                    f"{settings.conv_layers} convolution layers with padding "
                    f"{settings.padding!r}: nothing is left after layer {layer + 1}. Use fewer "
                    "(model.conv_layers), model.padding=same, or larger images "
                    "(data.image_size_px)."
                )
            self.blocks.append(_block(channels, settings.filters[layer], settings))
            channels = settings.filters[layer]
        self.flatten = nn.Flatten()
        self.hidden = nn.Linear(channels * height * width, settings.units)
        self.activation = nn.ReLU()
        self.dropout = Dropout(settings.dense_dropout)
        self.output = nn.Linear(settings.units, class_count)

    def forward(self, images: Tensor) -> Tensor:
        used_height, used_width = self.used_size
        features = images[:, :, :used_height, :used_width]  # (B, C, H, W)
        for block in self.blocks:
            features = block(features)  # (B, filters, H', W')
        hidden = self.activation(self.hidden(self.flatten(features)))  # (B, units)
        logits: Tensor = self.output(self.dropout(hidden))  # (B, classes)
        return logits


class ChannelBias(nn.Module):
    """Add one learned value to each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Give the features with the bias added, shape (B, C, H, W), in the features' type.

        A float32 bias would carry bfloat16 features, and all that is done to them up to the next
        convolution, into float32: twice the bytes in what is bound by memory.
        """
        return features + self.bias.to(features.dtype).view(1, -1, 1, 1)


def _block(channels: int, filters: int, settings: CnnSettings) -> nn.Sequential:
    """Make convolution, max pooling, bias (or batch norm before pooling), ReLU, dropout.

    Adding a bias and rectifying keep the order of numbers, so both give the same after pooling as
    before it, and there they touch a quarter of the data.
    """
    parts: dict[str, nn.Module] = {
        "convolution": nn.Conv2d(
            channels, filters, settings.kernel_size, padding=settings.padding, bias=False
        )
    }
    if settings.has_batch_norm:
        parts["norm"] = BatchNorm(filters)
    parts["pooling"] = nn.MaxPool2d(2)
    if not settings.has_batch_norm:
        parts["bias"] = ChannelBias(filters)
    parts["activation"] = nn.ReLU()
    parts["dropout"] = Dropout(settings.conv_dropout)
    return nn.Sequential(OrderedDict(parts))


def _size_after_block(size: int, settings: CnnSettings) -> int:
    if settings.padding == "valid":
        size -= settings.kernel_size - 1
    return size // 2


def _used_size(size: int, settings: CnnSettings) -> int:
    """Give how many rows (or columns) of an image of `size` reach the dense layers.

    Pooling drops the last row of an odd map, so with ``valid`` padding the last rows of the image
    may touch nothing: of 32 rows, two layers use 30. Cutting them off first saves an eighth of the
    arithmetic and changes no output. Batch norm would see fewer pixels, so it keeps them all.
    """
    if settings.padding == "same" or settings.has_batch_norm:
        return size
    for _ in range(settings.conv_layers):
        size = _size_after_block(size, settings)
    for _ in range(settings.conv_layers):
        size = 2 * size + settings.kernel_size - 1
    return size


@torch.no_grad()
def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw weights as Keras does: Glorot uniform kernels (Glorot and Bengio 2010), zero biases."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class CnnModel(Model):
    """Convolution blocks, one hidden dense layer, one output layer."""

    name = "cnn"
    summary = "Plain convolutional network of the original report, optional batch norm"
    settings_type = CnnSettings
    takes_any_size = False
    search_space = (
        SearchDimension(name="model.conv_layers", low=1, high=3, step=1),
        *(
            SearchDimension(
                name=f"model.filters.{layer}",
                low=32,
                high=128,
                step=32,
                only_if=Condition(name="model.conv_layers", at_least=layer + 1),
            )
            for layer in range(3)
        ),
        SearchDimension(name="model.units", low=64, high=512, step=64),
        SearchDimension(name="model.conv_dropout", low=0.0, high=0.5, step=0.05),
        SearchDimension(name="model.dense_dropout", low=0.0, high=0.7, step=0.05),
        SearchDimension(name="model.has_batch_norm", choices=(False, True)),
    )
    ingredients = (
        Ingredient(
            name="batch-norm",
            title="Batch norm",
            without="none after the convolutions",
            changes={"model.has_batch_norm": False},
        ),
        Ingredient(
            name="conv-dropout",
            title="Dropout after convolutions",
            without="every activation kept there",
            changes={"model.conv_dropout": 0.0},
        ),
        Ingredient(
            name="dense-dropout",
            title="Dropout after the dense layer",
            without="every activation kept there",
            changes={"model.dense_dropout": 0.0},
        ),
    )

    def build(
        self,
        settings: CnnSettings,
        *,
        image_shape: tuple[int, int, int],
        class_count: int,
        generator: torch.Generator,
    ) -> NetworkBody:
        """Build the network; see `tenfold.models.model.Model.build`."""
        network = _Cnn(settings, image_shape, class_count)
        _initialise(network, generator)
        return network


MODEL = CnnModel()
