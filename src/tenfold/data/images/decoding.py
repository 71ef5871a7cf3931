"""One image file to the pixels of one row: the same for training data and for prediction."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

from tenfold.core.machine import available_cores
from tenfold.core.records.data import NO_RANGES, ValueRanges
from tenfold.data.images.formats import (
    DEFAULT_LIMITS,
    SHARED_MEMORY,
    DecodingLimits,
    NotPlainError,
    TooManyPixelsError,
    UnreadableImageError,
    why_not_read,
)
from tenfold.data.images.inspection import Inspection, inspect_file
from tenfold.data.images.pillow import (
    CANVAS_BYTES,
    Hold,
    ImageHeader,
    OpenFile,
    header_of,
    pixels_of,
    reasons,
    values_of,
)
from tenfold.data.images.processes import PROCESSES, Job

# Decoding leaves Python's lock; more threads than this wait for the disk or for each other.
_MOST_THREADS = 8


@runtime_checkable
class EncodedImage(Protocol):
    """Where an encoded image lies: a file, a member of an archive, a cell of a table.

    A path is one. Its text says where people find it: ``pets.zip/train/cat/1.jpg``.
    """

    @property
    def suffix(self) -> str:
        """Give the ending of its name, as of a path; empty if it has no name."""

    def read_bytes(self) -> bytes:
        """Give the whole file; several threads may ask at once.

        Raises
        ------
        OSError
            If it cannot be read.
        """


def read_header(
    file: EncodedImage | BinaryIO, limits: DecodingLimits = DEFAULT_LIMITS
) -> ImageHeader:
    """Give an image's size, whether it is gray, and whether it has more than 8 bits.

    Raises
    ------
    UnreadableImageError
        If it is no image, is too large, or cannot be opened.
    """
    with reasons(), _looked_at(file, limits) as (content, found):
        if found.is_plain:
            return header_of(_opened(content, found))
        return PROCESSES.header(_job(file, found, limits, _no_memory))


def decode_image(
    file: EncodedImage | BinaryIO,
    shape: tuple[int, int, int],
    *,
    is_resized: bool,
    ranges: ValueRanges = NO_RANGES,
    limits: DecodingLimits = DEFAULT_LIMITS,
    is_quick: bool = False,
    hold: Hold | None = None,
) -> npt.NDArray[np.uint8]:
    """Give an image's pixels.

    The first frame of an animation; turned as EXIF says; transparency laid over white; numbers of
    more than 8 bits scaled by the range that the data set uses, before anything is resized; CMYK
    and palettes turned into colours.

    Parameters
    ----------
    file
        The image: its path or other place, or an open file.
    shape
        Height, width and channels (1 or 3) wanted.
    is_resized
        Whether to scale to `shape` where the image has another size.
    ranges
        What the data set's training images use; see `ValueRanges`.
    limits
        What decoding it may cost. Pixels are asked of the file's structure, before anything is
        unpacked.
    is_quick
        Whether to refuse what is not decoded in this thread.
    hold
        Holds the memory that is needed, beside this process's share of the machine's; what it
        raises must be an `UnreadableImageError`.

    Returns
    -------
    uint8 of `shape`.

    Raises
    ------
    UnreadableImageError
        If it cannot be decoded whole; `TooManyPixelsError` if it is larger than the limit;
        `TooMuchMemoryError` if it takes more memory; `NotPlainError` if it is not quick.
    """
    memory = _memory(limits, hold)
    with reasons(), _looked_at(file, limits) as (content, found):
        if found.is_plain:
            return pixels_of(
                _opened(content, found),
                shape,
                ranges,
                memory,
                is_resized=is_resized,
                most_pixels=limits.pixels,
            )
        if is_quick:
            raise NotPlainError
        job = _job(file, found, limits, memory)
        return PROCESSES.pixels(job, shape, ranges, is_resized=is_resized)


def measure_image(
    file: EncodedImage | BinaryIO, quantiles: int, limits: DecodingLimits = DEFAULT_LIMITS
) -> npt.NDArray[np.float64]:
    """Measure an image of more than 8 bits: smallest and largest value, and so many quantiles.

    Raises
    ------
    UnreadableImageError
        If it cannot be decoded whole.
    """
    memory = _memory(limits)
    with reasons(), _looked_at(file, limits) as (content, found):
        if found.is_plain:
            return values_of(_opened(content, found), quantiles, memory, most_pixels=limits.pixels)
        return PROCESSES.values(_job(file, found, limits, memory), quantiles)


@contextmanager
def decoding_threads() -> Iterator[tuple[ThreadPoolExecutor, int, threading.Event]]:
    """Give a pool of threads to decode in, how many they are, and what is set when it is over.

    After Ctrl-C or an error, what has not begun never begins.
    """
    is_over = threading.Event()
    threads = min(_MOST_THREADS, available_cores())
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    with quiet_pillow():
        try:
            yield pool, threads, is_over
        except (KeyboardInterrupt, GeneratorExit):
            is_over.set()
            PROCESSES.close()  # an image may take them half a minute
            raise
        finally:
            is_over.set()
            pool.shutdown(cancel_futures=True)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Drop Pillow's warnings in all threads; limits are ours.

    Python's warning filters belong to the whole process, so this goes around the threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


@contextmanager
def _looked_at(
    file: EncodedImage | BinaryIO, limits: DecodingLimits
) -> Iterator[tuple[BinaryIO, Inspection]]:
    """Open a file and look at its structure; refuse what is known to be too large or not read."""
    if isinstance(file, Path):
        with file.open("rb") as content:
            yield content, _inspected(content, file.suffix, limits)
    elif (place := _as_place(file)) is not None:
        with io.BytesIO(place.read_bytes()) as content:
            yield content, _inspected(content, place.suffix, limits)
    else:
        opened = cast("BinaryIO", file)
        yield opened, _inspected(opened, "", limits)


def _as_place(file: EncodedImage | BinaryIO) -> EncodedImage | None:
    # isinstance() looks at every member of a protocol: a tenth of a tiny image's time.
    return cast("EncodedImage", file) if hasattr(file, "read_bytes") else None


def _inspected(content: BinaryIO, suffix: str, limits: DecodingLimits) -> Inspection:
    found = inspect_file(content, suffix)
    if (reason := why_not_read(found.kind)) is not None:
        raise UnreadableImageError(reason)
    if found.width * found.height > limits.pixels:
        raise TooManyPixelsError(found.width, found.height, limits.pixels)
    return found


def _opened(content: BinaryIO, found: Inspection) -> OpenFile:
    return OpenFile(content, found.kind, found.may_turn, found.is_progressive)


def _job(
    file: EncodedImage | BinaryIO, found: Inspection, limits: DecodingLimits, hold: Hold
) -> Job:
    place: Path | bytes
    if isinstance(file, Path):
        place = file
    elif (other := _as_place(file)) is not None:
        place = other.read_bytes()
    else:
        opened = cast("BinaryIO", file)
        opened.seek(0)
        place = opened.read()
    # A decoder of WebP makes its canvas when it is opened.
    canvas = CANVAS_BYTES["WEBP"] * found.width * found.height if found.kind == "WEBP" else 0
    return Job(place, found.kind, limits, hold, opening_bytes=canvas)


def _memory(limits: DecodingLimits, hold: Hold | None = None) -> Hold:
    @contextmanager
    def held(size: int) -> Iterator[None]:
        with SHARED_MEMORY.hold(size, limits), (hold or _no_memory)(size):
            yield

    return held


def _no_memory(size: int) -> AbstractContextManager[None]:
    del size
    return nullcontext()
