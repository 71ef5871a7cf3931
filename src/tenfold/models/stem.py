"""The first layers of a deep network: they keep small images whole and shrink large ones early."""

from __future__ import annotations

from typing import Literal

from torch import nn

from tenfold.core.errors import ImageShapeError
from tenfold.models.batch_norm import BatchNorm

StemName = Literal["auto", "small", "large"]
SizedStem = Literal["small", "large"]

LARGE_IMAGE_PX = 96
"""From this shorter side on, images get the large stem: a network made for 32 × 32 images then
sees maps of 24 × 24 and more, where the small stem would take nine times the arithmetic or more."""

_SHRINKING = {"small": 1, "large": 4}
"""How many times smaller than the image each stem's map is, in height and width."""


def choose_stem(asked: StemName, image_shape: tuple[int, int, int]) -> SizedStem:
    """Give the stem for images of a shape (height, width, channels)."""
    if asked != "auto":
        return asked
    return "large" if min(image_shape[:2]) >= LARGE_IMAGE_PX else "small"


def make_stem(stem: SizedStem, channels: int, width: int) -> nn.Sequential:
    """Make the first layers.

    ``small``: one 3 × 3 convolution (He et al., arXiv 1512.03385, section 4.2). ``large``: a 7 × 7
    convolution at stride 2 and 3 × 3 max pooling at stride 2 (section 4.1, and GoogLeNet, arXiv
    1409.4842, before it). Both with batch norm.

    Parameters
    ----------
    stem
        Which one.
    channels
        Of the images.
    width
        Output channels.
    """
    layers = nn.Sequential()
    kernel, stride = (7, 2) if stem == "large" else (3, 1)
    layers.add_module(
        "convolution", nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    )
    layers.add_module("norm", BatchNorm(width))
    layers.add_module("activation", nn.ReLU(inplace=True))
    if stem == "large":
        layers.add_module("pooling", nn.MaxPool2d(3, 2, padding=1))
    return layers


def check_image_size(
    model: str, image_shape: tuple[int, int, int], stem: SizedStem, halvings: int
) -> None:
    """Refuse images that would be smaller than one pixel before the network's last halving.

    Parameters
    ----------
    model
        Its name, for the message.
    image_shape
        Height, width and channels.
    stem
        The network's stem.
    halvings
        How often the layers after the stem halve the map.

    Raises
    ------
    ImageShapeError
        If there is too little to halve; it says what to change.
    """
    height, width, _ = image_shape
    least = _SHRINKING[stem] * 2**halvings
    if min(height, width) >= least:
        return
    advice = "Use larger images (data.image_size_px)"
    if stem == "large":
        advice += ", model.stem=small"
    raise ImageShapeError(
        f"Images of {height}×{width} pixels are too small for model {model} with its {stem} stem, "
        f"which shrinks them {least} times: height and width must be {least} or more. {advice}, or "
        "another model (model.name)."
    )
