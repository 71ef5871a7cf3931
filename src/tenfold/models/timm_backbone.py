"""Any network of the package timm as a backbone; its weights come from a hub.

timm is an optional extra, and imports torchvision, so nothing else here may import this module.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Self

import torch
from torch import Tensor, nn

from tenfold.core.errors import ImageShapeError, SettingsError, WeightsError

_BYTE = 255.0


class TimmBackbone(nn.Module):
    """A network of timm without its classes' layer; see `tenfold.models.backbone.Backbone`.

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
    red, green, blue = (_BYTE * float(value) for value in values)
    return red, green, blue
