"""Which size a data set's images are brought to, and whether the memory can hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isqrt, prod

import numpy as np

from tenfold.core.errors import DataError
from tenfold.core.machine import available_memory, in_gib
from tenfold.data.dataset import Images

Size = tuple[int, int]
"""Height and width, in px."""

SMALL_IMAGE_SIZE_PX = 32
"""For images of several sizes that are smaller still: CIFAR-10's, which recipes are made for."""
_COMMON_SHARE = 0.9
"""A size that so many of the images have is that of the data set; others are exceptions."""
_COPIES = 2.2
"""The images once as they are read and, in training, a second time in its two parts."""
_OTHER_BYTES = 2**28
"""What the libraries themselves take, about."""


def common_size(sizes: Sequence[Size], asked_px: int | None, large_px: int) -> Size:
    """Choose the size that all images are brought to.

    A size that is asked for; else the one that nine of ten images have, if it is not large; else a
    square with the side that half of the images fill, between `SMALL_IMAGE_SIZE_PX` and `large_px`.
    So one image of another size changes nothing.

    Parameters
    ----------
    sizes
        Of all images that can be read; not empty.
    asked_px
        Height and width that were asked for; None for none.
    large_px
        Where larger images are made smaller.
    """
    if asked_px is not None:
        return asked_px, asked_px
    counts = Counter(sizes)
    # The smallest of several, so that the order of the files does not matter.
    common, count = max(counts.items(), key=lambda item: (item[1], (-item[0][0], -item[0][1])))
    if count >= _COMMON_SHARE * len(sizes) and max(common) <= large_px:
        return common
    shorter = sorted(min(size) for size in sizes)
    side = min(max(shorter[(len(shorter) - 1) // 2], SMALL_IMAGE_SIZE_PX), large_px)
    return side, side


def size_note(sizes: Sequence[Size], chosen: Size, asked_px: int | None) -> str:
    """Say what size was chosen and how to choose another; empty if no image was resized."""
    if asked_px is not None or all(size == chosen for size in sizes):
        return ""
    least = min(sizes, key=prod)
    most = max(sizes, key=prod)
    found = _shown(least) if least == most else f"{_shown(least)} to {_shown(most)}"
    return (
        f"Images of {found} px were resized to {_shown(chosen)} px, what is longer cut to the "
        f"middle. For another size: --set data.image_size_px={min(chosen) * 2}"
    )


def new_images(count: int, shape: tuple[int, int, int]) -> Images:
    """Give an array for images, once it is sure that the memory can hold them and be trained on.

    Parameters
    ----------
    count
        Number of images.
    shape
        Height, width and channels of each.

    Returns
    -------
    uint8, shape (count, *shape); zeros.

    Raises
    ------
    DataError
        If it cannot; the message names a size that fits.
    """
    memory = available_memory()
    needed = int(count * prod(shape) * _COPIES) + _OTHER_BYTES
    try:
        if memory is not None and needed > memory:
            raise MemoryError
        return np.zeros((count, *shape), dtype=np.uint8)
    except MemoryError:
        raise DataError(_memory_message(count, shape, needed, memory)) from None


def _memory_message(
    count: int, shape: tuple[int, int, int], needed: int, memory: int | None
) -> str:
    """Say that images do not fit into the memory, and which size would."""
    free = needed // 2 if memory is None else memory
    fits = isqrt(int(max(free - _OTHER_BYTES, 0) / (count * shape[2] * _COPIES)))
    largest = min(fits, min(shape[:2]) - 1)
    # A size that people would type: the next lower of 16, 24, 32, 48, 64, 96, ...
    steps = [step for power in range(4, 13) for step in (2**power, 3 * 2 ** (power - 1))]
    typed = max((step for step in steps if step <= largest), default=0)
    remedy = (
        f"Make them smaller: --set data.image_size_px={typed}"
        if typed
        else "Use fewer images, or a machine with more memory."
    )
    there = "more than there is" if memory is None else f"but {in_gib(memory)} are free"
    return (
        f"{count:,} images of {_shown(shape[:2])} px need {in_gib(needed)} of memory, {there}. "
        f"{remedy}"
    )


def _shown(size: Size) -> str:
    return f"{size[1]} × {size[0]}"
