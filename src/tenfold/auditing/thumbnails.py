"""Small pictures of one size, on which images are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tenfold.data.dataset import Images

SIDE_PX = 32
"""Height and width of a thumbnail: CIFAR's own size, where an object can just be told."""

_BLOCK = 2000
# ITU-R BT.601: the luma of red, green and blue.
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Thumbnails:
    """Brightness and colour of every image at one small size.

    Parameters
    ----------
    luminance
        uint8, shape (N, SIDE_PX, SIDE_PX).
    chrominance
        uint8, shape (N, 2, SIDE_PX / 4, SIDE_PX / 4): blue and red less luminance, coarse, with
        128 for none. Gray images have 128 everywhere.
    """

    luminance: npt.NDArray[np.uint8]
    chrominance: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.luminance)


def joined_thumbnails(*parts: Thumbnails) -> Thumbnails:
    """Give the thumbnails of several sets of images as one."""
    return Thumbnails(
        np.concatenate([part.luminance for part in parts]),
        np.concatenate([part.chrominance for part in parts]),
    )


def make_thumbnails(images: Images) -> Thumbnails:
    """Give thumbnails of images of any size.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C), C 1 or 3.
    """
    coarse = SIDE_PX // 4
    luminance = np.empty((len(images), SIDE_PX, SIDE_PX), np.uint8)
    chrominance = np.full((len(images), 2, coarse, coarse), 128, np.uint8)
    for start in range(0, len(images), _BLOCK):
        block = slice(start, start + _BLOCK)
        pixels = _resized(torch.from_numpy(np.array(images[block])).permute(0, 3, 1, 2).float())
        if pixels.shape[1] == 1:
            luminance[block] = _bytes(pixels[:, 0])
            continue
        luma = (pixels * pixels.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        luminance[block] = _bytes(luma[:, 0])
        differences = nn.functional.avg_pool2d(pixels[:, [2, 0]] - luma, 4)
        chrominance[block] = _bytes(128 + differences / 2)  # a difference reaches 226
    return Thumbnails(luminance, chrominance)


def _resized(pixels: Tensor) -> Tensor:
    if pixels.shape[2:] == (SIDE_PX, SIDE_PX):
        return pixels
    return nn.functional.interpolate(
        pixels, (SIDE_PX, SIDE_PX), mode="bilinear", antialias=True, align_corners=False
    )


def _bytes(values: Tensor) -> npt.NDArray[np.uint8]:
    return values.round().clamp(0, 255).to(torch.uint8).numpy()
