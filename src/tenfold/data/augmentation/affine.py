"""Affine transforms of image batches, in scipy.ndimage's conventions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def affine_transform(images: Tensor, matrices: Tensor, offsets: Tensor) -> Tensor:
    """Transform each image by its own matrix: bilinear, the border's pixels repeated outside.

    The same as ``scipy.ndimage.affine_transform(image, matrix, offset, order=1, mode="nearest")``
    for each image and channel.

    Parameters
    ----------
    images
        uint8 or float, shape (B, C, H, W).
    matrices
        Shape (B, 2, 2): from output (row, column) to input (row, column), in pixels.
    offsets
        Shape (B, 2): added to the product.

    Returns
    -------
    Tensor
        float32, shape (B, C, H, W), channels last in memory.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device, dtype=torch.float32)
    columns = torch.arange(width, device=images.device, dtype=torch.float32)
    m, o = matrices[:, :, :, None, None], offsets[:, :, None, None]  # (B, 2, 2, 1, 1), (B, 2, 1, 1)
    grid_rows = m[:, 0, 0] * rows[:, None] + m[:, 0, 1] * columns[None, :] + o[:, 0]  # (B, H, W)
    grid_columns = m[:, 1, 0] * rows[:, None] + m[:, 1, 1] * columns[None, :] + o[:, 1]
    # With align_corners=True, -1 and 1 are the centres of the first and the last pixel.
    grid = torch.stack(
        [
            grid_columns * (2 / max(width - 1, 1)) - 1,
            grid_rows * (2 / max(height - 1, 1)) - 1,
        ],
        dim=-1,
    )  # (B, H, W, 2), x first
    pixels = images.float().contiguous(memory_format=torch.channels_last)
    return functional.grid_sample(
        pixels, grid, mode="bilinear", padding_mode="border", align_corners=True
    ).contiguous(memory_format=torch.channels_last)
