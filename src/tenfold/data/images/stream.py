"""Many image files one after the other, decoded ahead by several threads at a bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tenfold.core.records.data import NO_RANGES, ValueRanges
from tenfold.data.images.decoding import decode_image, decoding_threads
from tenfold.data.images.formats import (
    DEFAULT_LIMITS,
    DecodingLimits,
    TooManyPixelsError,
    UnreadableImageError,
)

# Files a thread takes at once: handing over a single small file costs as much as decoding it.
_CHUNK = 16


@dataclass(frozen=True)
class ImageFile:
    """An image to read.

    Parameters
    ----------
    name
        What it is called in results: its path as the user gave it.
    place
        Its path, or its bytes as an open file.
    """

    name: str
    place: Path | BinaryIO


@dataclass(frozen=True, eq=False)
class ReadImage:
    """An image that was decoded, or why it was not.

    Parameters
    ----------
    name
        Of the file.
    pixels
        uint8 of the shape asked for; None if it cannot be read.
    reason
        Why not; empty if it can.
    """

    name: str
    pixels: npt.NDArray[np.uint8] | None
    reason: str = ""


def read_images(
    files: Iterable[ImageFile],
    shape: tuple[int, int, int],
    *,
    ranges: ValueRanges = NO_RANGES,
    limits: DecodingLimits = DEFAULT_LIMITS,
    ahead: int = 512,
) -> Iterator[ReadImage]:
    """Decode files as the data set's were, in their order.

    Parameters
    ----------
    files
        Any number.
    shape
        Height, width and channels wanted; images of another size are scaled and their centre cut
        out.
    ranges
        What the data set's training images use; see `ValueRanges`.
    limits
        What one image may cost.
    ahead
        Images that are decoded before they are asked for, about: what bounds the memory.
    """
    waiting: deque[Future[list[ReadImage]]] = deque()
    remaining = iter(files)
    with decoding_threads() as (pool, threads, is_over):

        def work(chunk: list[ImageFile]) -> list[ReadImage]:
            return [_read(file, shape, ranges, limits) for file in chunk if not is_over.is_set()]

        while True:
            while len(waiting) < max(ahead // _CHUNK, threads):
                chunk = list(islice(remaining, _CHUNK))
                if not chunk:
                    break
                waiting.append(pool.submit(work, chunk))
            if not waiting:
                return
            yield from waiting.popleft().result()


def _read(
    file: ImageFile, shape: tuple[int, int, int], ranges: ValueRanges, limits: DecodingLimits
) -> ReadImage:
    if isinstance(file.place, Path) and (reason := why_not_opened(file.place)) is not None:
        return ReadImage(file.name, None, reason)
    try:
        pixels = decode_image(file.place, shape, is_resized=True, ranges=ranges, limits=limits)
    except TooManyPixelsError as error:
        return ReadImage(file.name, None, f"{error}: raise the limit with --max-megapixels")
    except UnreadableImageError as error:
        return ReadImage(file.name, None, str(error))
    return ReadImage(file.name, pixels)


def why_not_opened(path: Path) -> str | None:
    """Say why a path is no file to open; None if it is one.

    A pipe or a device could wait or go on for ever.
    """
    try:
        if path.is_file():
            return None
        return "not a file" if path.exists() else "no such file"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
