"""Images scaled down for the first part of a training: cheaper steps while shapes are learned.

Progressive resizing as in Tan and Le, "EfficientNetV2" (arXiv 2104.00298, section 4): the size
grows in equal strides from the first scale to the whole image.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

LEAST_SIZE_PX = 8
"""Nothing is scaled below this: too little is left to learn from."""
_STRIDE_PX = 4
"""Sizes grow by this: a library prepares its kernels anew for every size."""


def size_px(side: int, *, progress: float, share: float, scale: float) -> int:
    """Give the height (or width) that images are trained at.

    Parameters
    ----------
    side
        Height (or width) of the images, in pixels.
    progress
        Share of the training that is done, 0 to 1.
    share
        Share of the training during which the size grows; 0 for none.
    scale
        What it starts from, as a share of `side`.
    """
    if progress >= share or scale >= 1:
        return side
    grown = side * (scale + (1 - scale) * progress / share)
    least = min(side, LEAST_SIZE_PX)
    return min(side, max(least, _STRIDE_PX * round(grown / _STRIDE_PX)))


def images_gained(side: int, *, share: float, scale: float) -> float:
    """Give how many times as many images a time budget shows as it would at full resolution.

    An image's arithmetic goes with its area, so images a second go with 1 / size². While the size
    grows linearly over time from `scale` to 1, the mean of that is 1 / scale.

    Parameters
    ----------
    side
        Height or width of the images, in pixels, whichever is less.
    share, scale
        As for `size_px`.
    """
    least = min(1.0, LEAST_SIZE_PX / side)
    return share / max(scale, least) + (1 - share)


def scaled_down(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale a batch down, bilinear with antialiasing.

    Parameters
    ----------
    pixels
        uint8 or float32, shape (B, C, H, W), scale 0 to 255.
    size
        New height and width, in pixels.

    Returns
    -------
    Tensor
        float32, shape (B, C, height, width); the pixels themselves where nothing changes.
    """
    if tuple(pixels.shape[2:]) == size:
        return pixels
    return functional.interpolate(
        pixels.float(), size=size, mode="bilinear", antialias=True, align_corners=False
    )
