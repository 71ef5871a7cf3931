"""What a pretrained backbone is, and how one is found by its name."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from tenfold.core.errors import UnknownNameError
from tenfold.models.efficientnet_lite import LITE_SIZES

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
        from tenfold.models.timm_backbone import TimmBackbone

        return TimmBackbone(name.removeprefix(TIMM_PREFIX), image_size_px=image_size_px)
    from tenfold.models.lite_backbone import LiteBackbone

    return LiteBackbone(name, pooled_maps=pooled_maps)
