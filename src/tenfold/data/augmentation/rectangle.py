"""A rectangle about a random place, one row or column of it at a time."""

from __future__ import annotations

import torch
from torch import Tensor


def is_within(size: int, side: int | Tensor, uniforms: Tensor) -> Tensor:
    """Say which of `size` places lie within `side` places about a random centre.

    The centre may be any of the places, so a part of the rectangle may lie outside.

    Parameters
    ----------
    size
        The image's height or width.
    side
        The rectangle's; shape (B, 1) where it differs from image to image.
    uniforms
        From 0 to 1, shape (B, 1): what places the centre.

    Returns
    -------
    Tensor
        bool, shape (B, size).
    """
    centre = (uniforms * size).long().clamp_(max=size - 1)  # (B, 1)
    place = torch.arange(size, device=uniforms.device)
    first = centre - side // 2
    return (place >= first) & (place < first + side)
