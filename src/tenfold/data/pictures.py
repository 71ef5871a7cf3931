"""Whole pictures beside their pixels: encoded, in one Arrow file, decoded when asked for.

A run folder's ``NAME_pictures.arrow`` is an Arrow IPC file with a row for each image of the split:
the file's bytes as they were found, and its suffix. Bytes are read by their place in the file, not
out of a memory map; pyarrow is asked once where they lie.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.core.files import check_regular_file, damage
from tenfold.core.records.data import NO_RANGES, ValueRanges
from tenfold.data.images.decoding import (
    EncodedImage,
    decode_image,
    decoding_threads,
    read_header,
)
from tenfold.data.images.formats import DEFAULT_LIMITS, DecodingLimits, UnreadableImageError

Pixels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.integer[Any]]

_CHUNK = 8  # pictures that a thread decodes at once
_AHEAD_BYTES = 2**26
"""Of pixels that are decoded before they are asked for, about."""
_BATCH_ROWS = 1024
_BATCH_BYTES = 2**25
_FORMAT = "tenfold pictures 1"
_KEY = b"tenfold"


@dataclass(frozen=True, eq=False)
class EncodedPictures:
    """Pictures in files, or places in something larger; a `tenfold.data.store.Pictures`.

    Parameters
    ----------
    files
        Where they are.
    ranges
        What those of more than 8 bits were scaled by.
    limits
        What decoding one may cost.
    """

    files: Sequence[EncodedImage]
    ranges: ValueRanges = NO_RANGES
    limits: DecodingLimits = DEFAULT_LIMITS

    def __len__(self) -> int:
        return len(self.files)

    def encoded(self, rows: Rows) -> Iterator[tuple[bytes, str]]:
        """Give files as they were and their suffixes, in this order."""
        for row in rows.tolist():
            file = self.files[row]
            yield _content(file), file.suffix

    def decoded(self, batches: Iterable[Rows], shape: tuple[int, int, int]) -> Iterator[Pixels]:
        """Give batches of pictures scaled to one size, decoded by threads, ahead.

        Raises
        ------
        DataError
            If a picture cannot be read any more.
        """
        remaining = iter(batches)
        waiting: deque[tuple[Pixels, list[Future[None]]]] = deque()
        with decoding_threads() as (pool, _, _):
            while True:
                most = 2 if not waiting or waiting[0][0].nbytes <= _AHEAD_BYTES else 1
                for rows in islice(remaining, max(0, most - len(waiting))):
                    waiting.append(self._submit(pool, rows, shape))
                if not waiting:
                    return
                result, futures = waiting.popleft()
                for future in futures:
                    future.result()
                yield result

    def whole(self, rows: Rows, channels: int, most_px: int) -> list[Pixels]:
        """Give pictures with all that they show, uint8, shape (H, W, C) each.

        Parameters
        ----------
        rows
            Which.
        channels
            1 or 3.
        most_px
            Of the shorter side: what is larger is made smaller, else a batch of what cameras give
            would take gigabytes.

        Raises
        ------
        DataError
            If a picture cannot be read any more.
        """

        with decoding_threads() as (pool, _, _):
            return list(
                pool.map(lambda row: self.whole_picture(row, channels, most_px), rows.tolist())
            )

    def whole_picture(self, row: int, channels: int, most_px: int) -> Pixels:
        """Give one picture as `whole` does, decoded in this thread."""
        file = self.files[row]
        with _told(file):
            header = read_header(file, self.limits)
            share = min(1.0, most_px / min(header.height, header.width))
            height, width = round(header.height * share), round(header.width * share)
            return decode_image(
                file,
                (height, width, channels),
                is_resized=share < 1,
                ranges=self.ranges,
                limits=self.limits,
            )

    def _submit(
        self, pool: ThreadPoolExecutor, rows: Rows, shape: tuple[int, int, int]
    ) -> tuple[Pixels, list[Future[None]]]:
        result = np.empty((len(rows), *shape), np.uint8)
        places = rows.tolist()

        def decode(start: int) -> None:
            for place in range(start, min(start + _CHUNK, len(places))):
                file = self.files[places[place]]
                with _told(file):
                    result[place] = decode_image(
                        file, shape, is_resized=True, ranges=self.ranges, limits=self.limits
                    )

        return result, [pool.submit(decode, start) for start in range(0, len(places), _CHUNK)]


class _told:
    """Say which picture it was that can no longer be read."""

    def __init__(self, file: EncodedImage) -> None:
        self.file = file

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UnreadableImageError):
            raise _lost(self.file, error) from None


def _content(file: EncodedImage) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _lost(file, error) from None


def _lost(file: EncodedImage, error: Exception) -> DataError:
    return DataError(
        f"{file} could be read before, and cannot be read now ({error}). Run the same command "
        "again when the data set is complete."
    )


@dataclass(frozen=True)
class StoredPicture:
    """The bytes of one picture in a file that holds many; an `EncodedImage`."""

    path: Path
    row: int
    offset: int
    length: int
    suffix: str

    def __str__(self) -> str:
        return f"{self.path}, row {self.row}"

    def read_bytes(self) -> bytes:
        """Give the picture's file."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            content = file.read(self.length)
        if content is None or len(content) != self.length:
            raise OSError("it ends too early")
        return content


@dataclass(frozen=True)
class PictureFile(Sequence[StoredPicture]):
    """The rows of an Arrow file that `write_pictures` wrote; cheap to make and to pickle."""

    path: Path

    def __len__(self) -> int:
        return len(self._places[0])

    def __getitem__(self, row: int) -> StoredPicture:  # type: ignore[override]
        offsets, lengths, codes, suffixes = self._places
        return StoredPicture(
            self.path, row, int(offsets[row]), int(lengths[row]), suffixes[codes[row]]
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    @cached_property
    def description(self) -> dict[str, Any]:
        """Give what was written beside the pictures.

        Raises
        ------
        OSError, ValueError
            If it is no such file.
        """
        import pyarrow as pa

        with pa.memory_map(str(self.path)) as source:
            metadata = pa.ipc.open_file(source).schema.metadata or {}
        described: dict[str, Any] = json.loads(metadata.get(_KEY, b"{}"))
        if described.get("format") != _FORMAT:
            raise ValueError("it holds no pictures that this version of tenfold reads")
        return described

    @cached_property
    def _places(
        self,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], list[str]]:
        """Give where each picture begins, its length, and which suffix it has."""
        import pyarrow as pa

        offsets, lengths, suffixes = [], [], []
        with pa.memory_map(str(self.path)) as source:
            whole = source.read_buffer()
            reader = pa.ipc.open_file(pa.BufferReader(whole))
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                column = batch.column(0)
                _, places, content = column.buffers()
                ends = np.frombuffer(places, np.int64)[: len(column) + 1]
                begin = 0 if content is None else content.address - whole.address
                offsets.append(begin + ends[:-1])
                lengths.append(np.diff(ends))
                suffixes += batch.column(1).to_pylist()
        names, codes = np.unique(np.array(suffixes, dtype=str), return_inverse=True)
        return (
            np.concatenate([np.empty(0, np.int64), *offsets]),
            np.concatenate([np.empty(0, np.int64), *lengths]),
            codes.astype(np.int64),
            names.tolist(),
        )


def write_pictures(
    path: Path,
    pictures: Iterable[tuple[bytes, str]],
    *,
    count: int,
    shape: tuple[int, int, int],
    ranges: ValueRanges,
    limits: DecodingLimits,
) -> None:
    """Write encoded pictures and their suffixes as one Arrow file; not atomic.

    Parameters
    ----------
    count, shape
        Images, and height, width and channels that the study looks at them in.
    ranges, limits
        See `EncodedPictures`.
    """
    import pyarrow as pa

    described = {
        "format": _FORMAT,
        "shape": [count, *shape],
        "ranges": ranges.model_dump(mode="json"),
        "most_pixels": limits.pixels,
    }
    schema = pa.schema(
        [("bytes", pa.large_binary()), ("suffix", pa.string())],
        metadata={_KEY: json.dumps(described).encode()},
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for contents, suffixes in _batches(pictures):
            columns = [pa.array(contents, pa.large_binary()), pa.array(suffixes, pa.string())]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _batches(pictures: Iterable[tuple[bytes, str]]) -> Iterator[tuple[list[bytes], list[str]]]:
    contents: list[bytes] = []
    suffixes: list[str] = []
    size = 0
    for content, suffix in pictures:
        contents.append(content)
        suffixes.append(suffix)
        size += len(content)
        if size >= _BATCH_BYTES or len(contents) >= _BATCH_ROWS:
            yield contents, suffixes
            contents, suffixes, size = [], [], 0
    if contents:
        yield contents, suffixes


def read_pictures(path: Path) -> tuple[EncodedPictures, tuple[int, int, int, int]]:
    """Give the pictures of a file, and number, height, width and channels of the images.

    Raises
    ------
    OSError, ValueError
        If it is no such file.
    """
    check_regular_file(path)
    with damage():
        file = PictureFile(path)
        described = file.description
        count, height, width, channels = described["shape"]
        pictures = EncodedPictures(
            file,
            ValueRanges.model_validate(described["ranges"]),
            DecodingLimits(pixels=described["most_pixels"]),
        )
        if len(file) != count:
            raise ValueError(f"{count:,} pictures should be there, not {len(file):,}")
    return pictures, (count, height, width, channels)
