"""Affine transforms of a batch of images, one matrix an image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def affine_matrices(
    *,
    rotation: Tensor,
    shift_x: Tensor,
    shift_y: Tensor,
    shear: Tensor,
    zoom_x: Tensor,
    zoom_y: Tensor,
) -> Tensor:
    """Compose rotation · shift · shear · zoom, the order and meaning of Keras' ImageDataGenerator.

    The matrices map a place in the output to the place in the input that it is taken from, so a
    zoom below 1 enlarges. Places are (x, y), x to the right and y down, counted from the centre.
    With rotation t and shear s::

        [cos t  -sin t]   [1  0  shift_x]   [1  -sin s]   [zoom_x    0   ]
        [sin t   cos t] · [0  1  shift_y] · [0   cos s] · [   0    zoom_y]

    Parameters
    ----------
    rotation, shear
        Radians, shape (B,).
    shift_x, shift_y
        Pixels, shape (B,).
    zoom_x, zoom_y
        Factors, shape (B,).

    Returns
    -------
    Tensor
        Shape (B, 2, 3), of the arguments' dtype.
    """
    cosine, sine = rotation.cos(), rotation.sin()
    # cos t · -sin s - sin t · cos s = -sin(t + s), and likewise below: what shear leaves is a
    # rotation of the second axis by t + s.
    sheared = rotation + shear
    row_x = (zoom_x * cosine, -zoom_y * sheared.sin(), cosine * shift_x - sine * shift_y)
    row_y = (zoom_x * sine, zoom_y * sheared.cos(), sine * shift_x + cosine * shift_y)
    return torch.stack((torch.stack(row_x, 1), torch.stack(row_y, 1)), 1)


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Transform images, with bilinear interpolation and the border repeated outside.

    The same as ``scipy.ndimage.affine_transform(order=1, mode="nearest")`` about the centre.

    Parameters
    ----------
    images
        uint8 or float, shape (B, C, H, W), scale 0 to 255.
    matrices
        Shape (B, 2, 3): output place to input place, (x, y) in pixels from the centre.

    Returns
    -------
    Tensor
        float32, the images' shape, scale 0 to 255, channels last in memory.
    """
    count, _, height, width = images.shape
    device = images.device
    # grid_sample wants places from -1 (centre of the first pixel) to 1 (centre of the last).
    from_x = (matrices[:, 0] * (2 / max(width - 1, 1))).float()  # (B, 3)
    from_y = (matrices[:, 1] * (2 / max(height - 1, 1))).float()
    x = torch.arange(width, device=device) - (width - 1) / 2
    y = torch.arange(height, device=device) - (height - 1) / 2
    places = torch.empty((count, height, width, 2), device=device)
    for axis, row in enumerate((from_x, from_y)):
        along_x = row[:, 0, None] * x  # (B, W)
        along_y = row[:, 1, None] * y + row[:, 2, None]  # (B, H)
        torch.add(along_x[:, None, :], along_y[:, :, None], out=places[..., axis])
    warped = functional.grid_sample(
        images.float(), places, mode="bilinear", padding_mode="border", align_corners=True
    )
    # The four weights add up to 1 within rounding only, which could pass 255 by a hair.
    return warped.clamp_(0, 255).contiguous(memory_format=torch.channels_last)
