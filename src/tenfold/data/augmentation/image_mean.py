"""Means over an image that do not depend on the order they are added up in."""

from __future__ import annotations

import torch
from torch import Tensor


def image_mean(pixels: Tensor) -> Tensor:
    """Give the mean of each channel of each image.

    Parameters
    ----------
    pixels
        uint8 or float32, shape (B, H, W, C).

    Returns
    -------
    Tensor
        Shape (B, 1, 1, C). In float64 the sum of whole numbers is exact, so that an image does not
        depend on its place in the batch; Metal has float32 alone.
    """
    dtype = torch.float32 if pixels.device.type == "mps" else torch.float64
    return pixels.mean((1, 2), keepdim=True, dtype=dtype)
