"""A network with ImageNet weights: its features as they are, a new layer for the classes.

Transfer learning in two phases. First the head is fitted to the features of the frozen backbone,
which are computed once (`tenfold.training.head`); then, if asked, all weights are trained on with
lower learning rates for lower layers (arXiv 1801.06146).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any, Self

import torch
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from torch import Tensor, nn
from torch.nn import functional

from tenfold.core.records.tuning import Ingredient, SearchDimension
from tenfold.core.settings import Settings
from tenfold.models.backbones import (
    TIMM_PREFIX,
    Backbone,
    StagedBackbone,
    build_backbone,
    check_name,
)
from tenfold.models.model import FrozenFeatures, Model, NetworkBody

_BLOCK_VALUES = 2**23 // 24
"""Pixels of the images that are computed at once, at the size that the backbone takes.

The largest map of an EfficientNet-Lite has 24 values a pixel. Larger blocks than 32 MiB are mapped
and zeroed by the kernel anew each time (see `tenfold.training.device.keep_freed_memory`): features
took 1.5 times as long.
"""


class PretrainedSettings(Settings):
    """Settings of the pretrained network.

    Attributes
    ----------
    backbone
        ``efficientnet-lite0``, ``efficientnet-lite1`` or ``efficientnet-lite2``, whose weights a
        package brings; or ``timm:NAME``, any network of timm, whose weights come from a hub.
    input_size_px
        Height and width that images are resized to, inside the network; None for the measured size
        of an EfficientNet-Lite, and the native one of a network of timm.
    pooled_maps
        How many of the last maps are averaged into features; None for the measured number of an
        EfficientNet-Lite (docs/transfer.md); networks of timm have 1.
    uses_mirrored
        Whether the head is fitted to mirrored images too, where a mirror keeps the class.
    fine_tune_epochs
        Epochs that weights are trained for once the head is fitted; 0 for none. How is in the
        training settings, but for their number of epochs.
    fine_tune_stages
        How many of an EfficientNet-Lite's seven stages are trained then, from the last; None for
        all of it. What the others give is computed once for each view of an image.
    fine_tune_views
        Augmented views of an image that are shown in turn, where some stages are not trained.
    layer_decay
        In fine-tuning, learning rate of a layer as a share of that of the layer above it.
    keeps_statistics
        Whether batch norm keeps its ImageNet statistics in fine-tuning.
    """

    backbone: str = "efficientnet-lite0"
    input_size_px: int | None = Field(None, ge=32, le=1024)
    pooled_maps: int | None = Field(None, ge=1, le=8)
    uses_mirrored: bool = True
    fine_tune_epochs: int = Field(0, ge=0, le=10_000)
    fine_tune_stages: int | None = Field(None, ge=1, le=7)
    fine_tune_views: int = Field(4, ge=1, le=10_000)
    layer_decay: float = Field(0.8, gt=0, le=1)
    keeps_statistics: bool = True

    @model_serializer(mode="wrap")
    def _as_before(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what younger settings do not change: earlier trainings stay what they are."""
        values: dict[str, Any] = plain(self)
        for name in ("fine_tune_stages", "fine_tune_views"):
            if values[name] == type(self).model_fields[name].default:
                del values[name]
        return values

    @field_validator("backbone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        return check_name(name)

    @model_validator(mode="after")
    def _has_such_maps(self) -> Self:
        if self.backbone.startswith(TIMM_PREFIX):
            if (self.pooled_maps or 1) > 1:
                raise ValueError("pooled_maps is 1 with a backbone of timm")
            if self.fine_tune_stages is not None:
                raise ValueError("fine_tune_stages has to be left out with a backbone of timm")
        return self


class PretrainedNetwork(FrozenFeatures):
    """Resizing, backbone and head.

    Images of three channels are red, green and blue. Other numbers of channels are mixed into
    three, each a mean, so that gray stays gray: one channel goes into all three; of two, the third
    is the mean; from four on, each of the first three is mixed with a share of all further ones.

    Parameters
    ----------
    settings
        See `PretrainedSettings`.
    image_shape
        Height, width and channels of an image before resizing.
    class_count
        Number of outputs.
    """

    mixing: Tensor
    shrink_rows: Tensor
    shrink_columns: Tensor

    def __init__(
        self, settings: PretrainedSettings, image_shape: tuple[int, int, int], class_count: int
    ) -> None:
        super().__init__()
        channels = image_shape[2]
        self.settings = settings
        self.backbone = build_backbone(
            settings.backbone,
            pooled_maps=settings.pooled_maps,
            image_size_px=settings.input_size_px,
        )
        backbone = self._backbone
        self.size_px = self.image_size_px = settings.input_size_px or backbone.image_size_px
        self.head = nn.Linear(backbone.feature_count, class_count)
        self.register_buffer("mixing", channel_mixing(channels), persistent=False)
        height, width = self.image_size = image_shape[:2]
        self.register_buffer("shrink_rows", _resizing(height, self.size_px), persistent=False)
        self.register_buffer("shrink_columns", _resizing(width, self.size_px), persistent=False)
        # What a channel of the images is normalised by: by what its colours would be.
        shares = self.mixing / self.mixing.sum(0)
        self.own_normalization = (
            torch.tensor(backbone.mean) @ shares,
            torch.tensor(backbone.standard_deviation) @ shares,
        )
        self.uses_mirrored = settings.uses_mirrored
        self.fine_tune_epochs = settings.fine_tune_epochs
        self.trained_stages = settings.fine_tune_stages
        self.fine_tune_views = settings.fine_tune_views
        if settings.keeps_statistics:
            backbone.keep_statistics()
        if settings.fine_tune_stages is not None:
            self._staged.freeze_below(settings.fine_tune_stages)

    @property
    def _backbone(self) -> Backbone:
        backbone: Any = self.backbone
        typed: Backbone = backbone
        return typed

    @property
    def _staged(self) -> StagedBackbone:
        backbone: Any = self.backbone
        typed: StagedBackbone = backbone
        return typed

    def prepare(self, some_images: Callable[[], Tensor]) -> None:
        """Put the published weights in; the images are not looked at."""
        del some_images
        self._backbone.load_pretrained()

    def features(self, images: Tensor) -> Tensor:
        """Give what the head reads, shape (B, features)."""
        is_whole = torch.is_grad_enabled() or torch.compiler.is_compiling()
        block = max(1, _BLOCK_VALUES // self.size_px**2)
        if is_whole or len(images) <= block:
            return self._features(images)
        return torch.cat([self._features(part) for part in torch.split(images, block)])

    def lower(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give what stages that are not trained give."""
        return self._staged.lower(self._shown(images))

    def upper(self, maps: Tensor, means: Tensor) -> Tensor:
        """Give what the head reads, shape (B, features), of what `lower` gave."""
        return self._staged.upper(maps, means)

    def _features(self, images: Tensor) -> Tensor:
        return self._backbone.features(self._shown(images))

    def _shown(self, images: Tensor) -> Tensor:
        """Give images as the backbone takes them: three channels, its size."""
        if self.mixing.shape[1] != 3:
            images = functional.conv2d(images, self.mixing[:, :, None, None])
        return self._resized(images).contiguous(memory_format=torch.channels_last)

    def _resized(self, images: Tensor) -> Tensor:
        """Give images of the backbone's size, bicubic, antialiased where they shrink."""
        size = (self.size_px, self.size_px)
        if tuple(images.shape[2:]) == size:
            return images
        if tuple(images.shape[2:]) == self.image_size and max(self.image_size) > self.size_px:
            # Two matrices do what antialiased interpolation does, and ONNX knows them.
            with torch.autocast(images.device.type, enabled=False):
                return self.shrink_rows @ images.float() @ self.shrink_columns.T
        return functional.interpolate(
            images,
            size=size,
            mode="bicubic",
            antialias=max(images.shape[2:]) > self.size_px,
            align_corners=False,
        )

    def features_key(self) -> str:
        """Give a digest of all that features depend on but the pixels and the weights."""
        text = f"{self.settings.backbone} {self.size_px} {self.settings.pooled_maps}"
        return hashlib.sha256(text.encode()).hexdigest()

    def learning_rate_factors(self) -> dict[str, float]:
        """Give the share of the learning rate of every parameter, by its name."""
        names = [name for name, _ in self.backbone.named_parameters()]
        layers = list(dict.fromkeys(layer_of(name) for name in names))  # from the lowest up
        height = {layer: len(layers) - place for place, layer in enumerate(layers)}
        decay = self.settings.layer_decay
        factors = {f"backbone.{name}": decay ** height[layer_of(name)] for name in names}
        return factors | {f"head.{name}": 1.0 for name, _ in self.head.named_parameters()}


def channel_mixing(channels: int) -> Tensor:
    """Give the matrix, shape (3, channels), that mixes channels into three; rows sum to 1."""
    if channels == 1:
        return torch.ones(3, 1)
    if channels == 2:
        return torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    further = channels - 3
    mixing = torch.full((3, channels), 1 / channels)
    mixing[:, :3] = torch.eye(3) * (1 - further / channels)
    return mixing


def _resizing(old: int, new: int) -> Tensor:
    """Give the matrix, shape (new, old), of antialiased bicubic resizing along one side."""
    rows = torch.eye(old)[None, None]
    return functional.interpolate(
        rows, size=(new, old), mode="bicubic", antialias=True, align_corners=False
    )[0, 0]


def layer_of(parameter_name: str) -> str:
    """Give the layer of a parameter: its name up to the first number, or to its last dot.

    >>> layer_of("network.stages.3.1.project.weight")
    'network.stages.3'
    >>> layer_of("network.stem.weight")
    'network.stem'
    """
    parts = parameter_name.split(".")
    for place, part in enumerate(parts):
        if part.isdecimal():
            return ".".join(parts[: place + 1])
    return ".".join(parts[:-1])


@torch.no_grad()
def _initialise(network: PretrainedNetwork, generator: torch.Generator) -> None:
    """Draw every kernel after He et al. (arXiv 1502.01852), and the head as torch does."""
    for parameter in network.backbone.parameters():
        if parameter.dim() > 1:
            fan_out = parameter.shape[0] * parameter[0, 0].numel()
            if parameter.dim() == 4 and parameter.shape[1] == 1:  # depthwise
                fan_out = parameter[0, 0].numel()
            parameter.normal_(0, math.sqrt(2 / fan_out), generator=generator)
    nn.init.kaiming_uniform_(network.head.weight, a=math.sqrt(5), generator=generator)
    nn.init.zeros_(network.head.bias)


class PretrainedModel(Model):
    """ImageNet weights, and a new layer for the classes."""

    name = "pretrained"
    summary = "EfficientNet-Lite (or timm) with ImageNet weights and a new layer for the classes"
    settings_type = PretrainedSettings
    takes_any_size = True
    fits_head = True
    large_image_size_px = 160
    """What the network itself resizes them to."""
    budget_image_size_px = 224
    search_space = (
        SearchDimension(name="model.input_size_px", choices=(96, 128, 160, 192, 224)),
        SearchDimension(name="model.pooled_maps", low=1, high=7, step=1),
        SearchDimension(name="model.layer_decay", low=0.6, high=1.0, step=0.1),
    )
    ingredients = (
        Ingredient(
            name="mirrored",
            title="Mirrored images",
            without="the head fitted to the images as they are",
            changes={"model.uses_mirrored": False},
        ),
        Ingredient(
            name="pooled-maps",
            title="Lower maps",
            without="the means of the last map alone",
            changes={"model.pooled_maps": 1},
        ),
        Ingredient(
            name="fine-tuning",
            title="Fine-tuning",
            without="the backbone as it was published",
            changes={"model.fine_tune_epochs": 0},
        ),
    )

    def build(
        self,
        settings: PretrainedSettings,
        *,
        image_shape: tuple[int, int, int],
        class_count: int,
        generator: torch.Generator,
    ) -> NetworkBody:
        """Build the network; see `tenfold.models.model.Model.build`."""
        network = PretrainedNetwork(settings, image_shape, class_count)
        _initialise(network, generator)
        return network


MODEL = PretrainedModel()
