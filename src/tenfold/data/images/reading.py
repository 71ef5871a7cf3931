"""Many image files to rows of one size, in threads, at the size that suits them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isqrt, prod
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.core.machine import available_memory, in_gib
from tenfold.core.progress import Progress
from tenfold.core.records.data import NO_RANGES, LeftOutImage, ValueRanges
from tenfold.data.images.decoding import (
    EncodedImage,
    decode_image,
    decoding_threads,
    measure_image,
    read_header,
)
from tenfold.data.images.deep import Measured, find_ranges, quantiles_for, range_note
from tenfold.data.images.exif import Taken
from tenfold.data.images.formats import DecodingLimits, TooManyPixelsError, UnreadableImageError
from tenfold.data.images.pillow import LARGE_IMAGE_SIZE_PX, ImageHeader, check_image_size

Size = tuple[int, int]
"""Height and width, in px."""
T = TypeVar("T")

SMALL_IMAGE_SIZE_PX = 32
"""For images of several sizes that are smaller still: CIFAR-10's, which recipes are made for."""
_CHUNK = 32  # Files a thread takes at once: few enough to stop soon, enough to be cheap.
_COMMON_SHARE = 0.9
"""A size that so many of the images have is that of the data set; others are exceptions."""
_COPIES = 2.2
"""The images once as they are read and, in training, a second time in its two parts."""
_OTHER_BYTES = 2**28
"""What the libraries themselves take, about."""


class ImageRows(Protocol):
    """Where decoded images go: an array, a file."""

    def __setitem__(self, row: int, pixels: npt.NDArray[np.uint8], /) -> None: ...


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """What became of files.

    Parameters
    ----------
    images
        Where the images went, in the order of the files: what `new_rows` gave. A row that could
        not be read is undefined.
    shape
        Height, width and channels of each.
    is_read
        bool, shape (N,).
    resized
        How many had another size.
    shrunk
        How many had more pixels.
    left_out
        What could not be read, and why.
    size_note
        Which size was chosen and how to choose another; empty where nothing was to be chosen.
    ranges
        What images of more than 8 bits use; what they were scaled by.
    notes
        Sentences about that for people.
    taken
        By which camera and when, of the files that say it, by their places.
    """

    images: Any
    shape: tuple[int, int, int]
    is_read: npt.NDArray[np.bool_]
    resized: int
    shrunk: int
    left_out: tuple[LeftOutImage, ...]
    size_note: str = ""
    ranges: ValueRanges = NO_RANGES
    notes: tuple[str, ...] = ()
    taken: dict[int, Taken] = field(default_factory=dict)


def decode_files(
    files: Sequence[EncodedImage],
    image_size_px: int | None,
    progress: Progress,
    *,
    is_strict: bool,
    large_image_size_px: int = LARGE_IMAGE_SIZE_PX,
    is_training: npt.NDArray[np.bool_] | None = None,
    ranges: ValueRanges | None = None,
    most_megapixels: float | None = None,
    new_rows: Callable[[int, tuple[int, int, int]], ImageRows] | None = None,
) -> DecodedImages:
    """Decode image files to rows of one size.

    Gray (one channel) if every file is gray, else colour (three).

    Parameters
    ----------
    files
        In the order of the rows wanted.
    image_size_px
        Height and width; None for those that `common_size` chooses.
    is_strict
        Whether the first unreadable file is an error.
    large_image_size_px
        Where larger images are made smaller, if no size is asked for.
    is_training
        bool, shape (N,): whose values say which range is used; None for all.
    ranges
        Those of a model that the images are for; None to find them.
    most_megapixels
        Images with more are left out; None for the default.
    new_rows
        Makes room for a number of images of a shape, which are put there one after the other; None
        for an array.

    Raises
    ------
    DataError
        If no file can be read, or one cannot and `is_strict`, or the memory cannot hold them.
    """
    if image_size_px is not None:
        check_image_size(image_size_px)
    is_read = np.zeros(len(files), dtype=bool)
    failures: dict[int, str] = {}
    limits = limits_of(most_megapixels)

    def take(row: int, failure: object) -> None:
        if isinstance(failure, UnreadableImageError):
            reason = str(failure)
            if isinstance(failure, TooManyPixelsError):
                reason += ": raise the limit with --set data.most_megapixels=NUMBER"
            if is_strict:
                raise DataError(
                    f"{files[row]} cannot be read: {reason}. Repair or remove it, or run without "
                    "--strict to leave such images out."
                )
            failures[row] = reason

    headers = _Headers.of(len(files))
    for row, header in _parallel(
        lambda row: read_header(files[row], limits),
        range(len(files)),
        "Looking at images",
        progress,
    ):
        take(row, header)
        if isinstance(header, ImageHeader):
            headers.take(row, header)
    known = np.flatnonzero(headers.is_known)
    if not len(known):
        _raise_none_read(files, failures)
    notes: tuple[str, ...] = ()
    if ranges is None:
        ranges, notes = _find_ranges(files, headers, is_training, limits, progress)
    sizes = list(map(tuple, headers.sizes[known].tolist()))
    size = common_size(sizes, image_size_px, large_image_size_px)
    shape = (*size, 1 if headers.is_gray[known].all() else 3)
    is_resized = (headers.sizes != size).any(axis=1)
    images = (new_rows or new_images)(len(files), shape)

    def decode(row: int) -> npt.NDArray[np.uint8]:
        return decode_image(
            files[row], shape, is_resized=bool(is_resized[row]), ranges=ranges, limits=limits
        )

    for row, found in _parallel(decode, known.tolist(), "Decoding images", progress):
        if isinstance(found, UnreadableImageError):
            take(row, found)
        else:
            images[row] = found
            is_read[row] = True
    if not is_read.any():
        _raise_none_read(files, failures)
    is_shrunk = headers.sizes.prod(axis=1) > prod(size)
    return DecodedImages(
        images=images,
        shape=shape,
        is_read=is_read,
        resized=int(is_resized[is_read].sum()),
        shrunk=int(is_shrunk[is_read].sum()),
        left_out=tuple(
            LeftOutImage(path=str(files[row]), reason=failures[row]) for row in sorted(failures)
        ),
        size_note=size_note(sizes, size, image_size_px),
        ranges=ranges,
        notes=notes,
        taken=headers.taken,
    )


def limits_of(most_megapixels: float | None) -> DecodingLimits:
    """Give what one image of a data set may cost; None for the default."""
    if most_megapixels is None:
        return DecodingLimits()
    return DecodingLimits(pixels=int(most_megapixels * 1e6))


@dataclass(frozen=True, eq=False)
class _Headers:
    """What all files say, in arrays: a million objects would take more than their images do."""

    is_known: npt.NDArray[np.bool_]
    sizes: npt.NDArray[np.int64]
    is_gray: npt.NDArray[np.bool_]
    depths: dict[int, str]
    taken: dict[int, Taken]

    @classmethod
    def of(cls, count: int) -> _Headers:
        sizes = np.zeros((count, 2), np.int64)
        return cls(np.zeros(count, bool), sizes, np.zeros(count, bool), {}, {})

    def take(self, row: int, header: ImageHeader) -> None:
        self.is_known[row] = True
        self.sizes[row] = header.height, header.width
        self.is_gray[row] = header.is_gray
        if header.depth:
            self.depths[row] = header.depth
        if header.taken is not None:
            self.taken[row] = header.taken


def _find_ranges(
    files: Sequence[EncodedImage],
    headers: _Headers,
    is_training: npt.NDArray[np.bool_] | None,
    limits: DecodingLimits,
    progress: Progress,
) -> tuple[ValueRanges, tuple[str, ...]]:
    """Find what images of more than 8 bits use; give it, and sentences about it for people."""
    deep = list(headers.depths)
    measured_rows = [row for row in deep if is_training is None or is_training[row]]
    if not measured_rows:
        return NO_RANGES, ()
    quantiles = quantiles_for(len(measured_rows))
    measured = [
        Measured(headers.depths[row], values)
        for row, values in _parallel(
            lambda row: measure_image(files[row], quantiles, limits),
            measured_rows,
            "Measuring images of more than 8 bits",
            progress,
        )
        if not isinstance(values, UnreadableImageError)  # Decoding meets it again.
    ]
    found = find_ranges(measured)
    count = int(headers.is_known.sum())
    return found.ranges, tuple(range_note(found, list(headers.depths.values()), count))


def _parallel(
    function: Callable[[int], T], rows: Sequence[int], description: str, progress: Progress
) -> Iterator[tuple[int, T | UnreadableImageError]]:
    """Give (row, result or reason) in the order of `rows`, worked on by several threads.

    No more than a few chunks wait to be taken: what decodes is faster than a full disk.
    """
    chunks = iter([rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)])
    with (
        decoding_threads() as (pool, threads, is_over),
        progress.task(description, total=len(rows), unit="images") as task,
    ):

        def work(chunk: Sequence[int]) -> list[T | UnreadableImageError]:
            results: list[T | UnreadableImageError] = []
            for row in chunk:
                if is_over.is_set():
                    break
                try:
                    results.append(function(row))
                except UnreadableImageError as error:
                    results.append(error)
            return results

        waiting = deque((chunk, pool.submit(work, chunk)) for chunk in islice(chunks, 3 * threads))
        while waiting:
            chunk, future = waiting.popleft()
            results = future.result()
            waiting.extend((more, pool.submit(work, more)) for more in islice(chunks, 1))
            yield from zip(chunk, results, strict=True)
            task.advance(len(chunk))


def _raise_none_read(files: Sequence[EncodedImage], failures: dict[int, str]) -> None:
    shown = "".join(f"\n  {files[row]}: {failures[row]}" for row in sorted(failures)[:5])
    raise DataError(
        f"None of {len(files):,} image files could be read. The first reasons:{shown}\n"
        "Do as the reasons say, or check that the files are whole."
    )


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


def new_images(count: int, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
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
