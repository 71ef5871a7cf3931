"""Pixel statistics: exact integer sums in one pass over the bytes, with no float copy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenfold.data.dataset import Images, Labels

_BLOCK_BYTES = 1 << 18  # a block and its squares stay in a core's cache of half a megabyte
_WHITE = 255.0


@dataclass(frozen=True)
class PixelStatistics:
    """Means and standard deviations (divisor: number of pixels) on the scale 0 to 1.

    Parameters
    ----------
    class_counts
        Images of each class.
    class_means, class_standard_deviations
        Over all pixels and channels of each class; 0 for a class without images.
    channel_means, channel_standard_deviations
        Of each channel over all images.
    """

    class_counts: tuple[int, ...]
    class_means: tuple[float, ...]
    class_standard_deviations: tuple[float, ...]
    channel_means: tuple[float, ...]
    channel_standard_deviations: tuple[float, ...]


def pixel_statistics(images: Images, labels: Labels, class_count: int) -> PixelStatistics:
    """Measure all pixels.

    Sums are of integers, so they are exact: at most 2**47 images of a pixel fit.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    labels
        int64, shape (N,), below `class_count`.
    class_count
        Number of classes; one that no label names gets zeros.
    """
    sums, squares = _sums_by_class(images, labels, class_count)  # (classes, channels)
    counts = np.bincount(labels, minlength=class_count)
    pixels = counts * int(np.prod(images.shape[1:3]))
    class_means, class_deviations = _moments(
        sums.sum(1), squares.sum(1), pixels * images.shape[3]
    )
    channel_means, channel_deviations = _moments(sums.sum(0), squares.sum(0), pixels.sum())
    return PixelStatistics(
        tuple(counts.tolist()),
        tuple(class_means.tolist()),
        tuple(class_deviations.tolist()),
        tuple(channel_means.tolist()),
        tuple(channel_deviations.tolist()),
    )


def _sums_by_class(
    images: Images, labels: Labels, class_count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sum pixels and their squares by class and channel.

    An image's bytes fold into rows short enough for exact 32-bit sums: squares of 255 reach 2**32
    after 66,051 terms.
    """
    count, height, width, channels = images.shape
    sums = np.zeros((class_count, channels), np.int64)
    squares = np.zeros((class_count, channels), np.int64)
    per_block = max(1, _BLOCK_BYTES // max(1, height * width * channels))
    for start in range(0, count, per_block):
        block = images[start : start + per_block].reshape(-1, height * width, channels)
        chosen = labels[start : start + per_block]
        for channel in range(channels):
            plane = block[:, :, channel].astype(np.uint16)  # (B, pixels)
            np.add.at(sums[:, channel], chosen, plane.sum(1, dtype=np.int64))
            plane *= plane  # 255 squared is 65,025: it fits
            np.add.at(squares[:, channel], chosen, plane.sum(1, dtype=np.int64))
    return sums, squares


def _moments(
    sums: npt.NDArray[np.int64], squares: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give mean and standard deviation on the scale 0 to 1, zeros where nothing was counted."""
    safe = np.maximum(counts, 1)
    means = sums / safe
    variances = np.maximum(squares / safe - means**2, 0)
    return means / _WHITE, np.sqrt(variances) / _WHITE
