"""Mean and standard deviation of pixels by class and by channel.

Sums and sums of squares are whole numbers, so nothing is lost before the last division. No more
than a block of the images is ever copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenfold.data.store import AnyImages, image_blocks

if TYPE_CHECKING:
    from tenfold.data.dataset import Images, Labels

# A block, its squares (two bytes each) and their sums stay in a second-level cache.
_BLOCK_BYTES = 2**19
# The largest height whose column sums fit: 257 * 255 = 65535.
_LARGEST_HEIGHT_IN_UINT16 = 257

_Sums = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PixelStatistics:
    """Pixel statistics on the scale 0 to 1; standard deviations have the divisor n.

    A class without images has the count 0 and 0 for mean and standard deviation.

    Parameters
    ----------
    class_counts
        Images of each class.
    class_means, class_standard_deviations
        Over all pixels and channels of the class's images.
    channel_means, channel_standard_deviations
        Over all pixels of all images, for each channel.
    """

    class_counts: tuple[int, ...]
    class_means: tuple[float, ...]
    class_standard_deviations: tuple[float, ...]
    channel_means: tuple[float, ...]
    channel_standard_deviations: tuple[float, ...]


def pixel_statistics(images: AnyImages, labels: Labels, class_count: int) -> PixelStatistics:
    """Measure pixels by class and by channel.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    labels
        int64, shape (N,), from 0 to class_count - 1.
    class_count
        Number of classes, those without images included.
    """
    assert labels.shape == images.shape[:1], (images.shape, labels.shape)
    pixels_per_image = images.shape[1] * images.shape[2]
    channels = images.shape[3]
    sums = np.zeros((class_count, channels), np.int64)
    squares = np.zeros((class_count, channels), np.int64)
    for chosen, block_sums, block_squares in _image_sums(images):
        np.add.at(sums, labels[chosen], block_sums)
        np.add.at(squares, labels[chosen], block_squares)
    counts = np.bincount(labels, minlength=class_count).tolist()
    by_class = [
        _moments(count * pixels_per_image * channels, int(total), int(square))
        for count, total, square in zip(counts, sums.sum(1), squares.sum(1), strict=True)
    ]
    by_channel = [
        _moments(len(images) * pixels_per_image, int(total), int(square))
        for total, square in zip(sums.sum(0), squares.sum(0), strict=True)
    ]
    return PixelStatistics(
        class_counts=tuple(counts),
        class_means=tuple(mean for mean, _ in by_class),
        class_standard_deviations=tuple(deviation for _, deviation in by_class),
        channel_means=tuple(mean for mean, _ in by_channel),
        channel_standard_deviations=tuple(deviation for _, deviation in by_channel),
    )


def _image_sums(images: AnyImages) -> Iterator[tuple[slice, _Sums, _Sums]]:
    """Give blocks of images with each image's sum and sum of squares, shape (block, C)."""
    _, height, width, channels = images.shape
    # Summing over rows first adds whole rows of bytes to each other, which the processor does in
    # vectors; summing over pixels first would add three bytes at a time.
    columns = np.uint16 if height <= _LARGEST_HEIGHT_IN_UINT16 else np.uint32
    step = max(1, _BLOCK_BYTES // max(1, height * width * channels))
    for start, block in _steps(images, step):
        chosen = slice(start, start + len(block))
        rows = block.reshape(-1, height, width * channels)
        sums = np.add.reduce(rows, axis=1, dtype=columns)  # (block, W * C)
        squared = np.multiply(rows, rows, dtype=np.uint16)  # 255 * 255 fits
        squares = np.add.reduce(squared, axis=1, dtype=np.uint32)
        yield (
            chosen,
            sums.reshape(-1, width, channels).sum(axis=1, dtype=np.int64),
            squares.reshape(-1, width, channels).sum(axis=1, dtype=np.int64),
        )


def _steps(images: AnyImages, step: int) -> Iterator[tuple[int, Images]]:
    """Give a few images at a time and where they begin, of what is read in larger blocks."""
    done = 0
    for block in image_blocks(images):
        for start in range(0, len(block), step):
            yield done + start, block[start : start + step]
        done += len(block)


def _moments(count: int, total: int, squares: int) -> tuple[float, float]:
    """Give mean and standard deviation, scale 0 to 1; the variance is taken in whole numbers."""
    if count == 0:
        return 0.0, 0.0
    deviation = math.sqrt(count * squares - total * total) / count
    return total / (count * 255), deviation / 255
