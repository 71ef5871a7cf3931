"""Test-time augmentation: the mean of what a network says of an image and of views of it.

It costs a prediction for every view, and an accuracy that it raised does not compare with a plain
one, so it is an option and reported apart. Views as in Keller Jordan's arXiv 2404.00498 (section
3.5): the mirror image, and both moved by a pixel along the diagonals.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from tenfold.data.dataset import Images
from tenfold.engine.device import Device
from tenfold.engine.inference import predict_logits
from tenfold.models.model import ImageNetwork

ViewSet = Literal["none", "mirror", "mirror-shift"]

_SHIFT_WEIGHT = 0.25
"""Of each of the two moved views; the unmoved one has the other half."""


def views(
    images: Images, chosen: ViewSet, *, mirror_keeps_class: bool
) -> list[tuple[float, Images]]:
    """Give the views of images and their weights, which sum to 1.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    chosen
        ``none``: the images alone; ``mirror``: and their mirror images; ``mirror-shift``: both, and
        both moved by a pixel to the upper left and to the lower right, the edge reflected.
    mirror_keeps_class
        Whether a mirrored image still shows its class; if not, nothing is mirrored.
    """
    moved = [(1.0, images)]
    if chosen == "mirror-shift":
        moved = [
            (1 - 2 * _SHIFT_WEIGHT, images),
            (_SHIFT_WEIGHT, _moved(images, 0)),
            (_SHIFT_WEIGHT, _moved(images, 2)),
        ]
    if chosen == "none" or not mirror_keeps_class:
        return moved
    return [(weight / 2, view) for weight, plain in moved for view in (plain, mirrored(plain))]


def predict_logits_of_views(
    network: ImageNetwork,
    images: Images,
    chosen: ViewSet,
    *,
    mirror_keeps_class: bool,
    device: Device,
    precision: torch.dtype,
) -> npt.NDArray[np.float32]:
    """Give the weighted mean of the logits of all views, shape (N, classes).

    Parameters
    ----------
    network, images, device, precision
        See `tenfold.engine.inference.predict_logits`.
    chosen, mirror_keeps_class
        See `views`.
    """
    total: npt.NDArray[np.float32] | None = None
    for weight, view in views(images, chosen, mirror_keeps_class=mirror_keeps_class):
        logits = weight * predict_logits(network, view, device=device, precision=precision)
        total = logits if total is None else total + logits
    assert total is not None
    return total.astype(np.float32)


def mirrored(images: Images) -> Images:
    """Give images (N, H, W, C) with left and right exchanged."""
    return np.ascontiguousarray(images[:, :, ::-1])


def _moved(images: Images, start: int) -> Images:
    """Cut the images out of themselves padded by a reflected pixel, from row and column `start`."""
    if min(images.shape[1:3]) < 2:  # nothing to reflect
        return images
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    height, width = images.shape[1:3]
    cut: Images = padded[:, start : start + height, start : start + width]
    return np.ascontiguousarray(cut)
