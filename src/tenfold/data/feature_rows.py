"""Features of images as rows that need not fit into the memory: a tensor, or a file without a name.

`StoredFeatures` stands where a tensor on the CPU could: slices and index tensors give tensors,
copied. The numbers are the same, to the bit.
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tenfold.core.files import storage_errors
from tenfold.data.pixel_file import fill, runs_of

if TYPE_CHECKING:
    from typing import BinaryIO

MOST_KEPT_BYTES = 2**29
"""Of features that are worked on together: more lie in a file."""

Places = npt.NDArray[np.int64]


class FeatureFile:
    """Rows in a file that has no name, so that even a kill leaves none behind.

    Parameters
    ----------
    shape
        Number of rows, and values in each.
    dtype
        Of the values.
    folder
        On whose disk it lies; None for where the system keeps temporary files.
    """

    def __init__(self, shape: tuple[int, int], dtype: torch.dtype, folder: Path | None) -> None:
        self.shape = shape
        self.dtype = dtype
        self._row_bytes = shape[1] * dtype.itemsize
        self._place = folder or Path(tempfile.gettempdir())
        self._lock = threading.Lock()
        with storage_errors(self._place):
            self._place.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def write(self, places: Places, rows: Tensor) -> None:
        """Write some rows, shape (n, values), to their places."""
        assert rows.dtype == self.dtype
        flat = rows.detach().contiguous().view(torch.uint8).numpy()
        with self._lock, storage_errors(self._place):
            for start, stop in runs_of(places):
                self._file.seek(int(places[start]) * self._row_bytes)
                left = memoryview(flat[start:stop].reshape(-1).data)
                while left:
                    left = left[self._file.write(left) :]

    def read(self, places: Places, into: Tensor | None = None) -> Tensor:
        """Give some rows, copied, in this order; into the beginning of a tensor if there is one."""
        if not len(places):  # which torch gives no other type
            return torch.empty(0, self.shape[1], dtype=self.dtype)
        if into is None:
            into = torch.empty(len(places), self.shape[1], dtype=self.dtype)
        result = into[: len(places)]
        flat = result.view(torch.uint8).numpy()
        with self._lock, storage_errors(self._place):
            for start, stop in runs_of(places):
                self._file.seek(int(places[start]) * self._row_bytes)
                fill(self._file, memoryview(flat[start:stop].reshape(-1).data))
        return result


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """Rows of files, one file's after the other's.

    Parameters
    ----------
    parts
        Files, all of one width and type, and which of their rows these are.
    """

    parts: tuple[tuple[FeatureFile, range], ...]

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self.parts)

    @property
    def shape(self) -> tuple[int, int]:
        """Give the number of rows and of values in each."""
        return len(self), self.parts[0][0].shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Give the type of the values."""
        return self.parts[0][0].dtype

    def __getitem__(self, key: slice | Tensor | Places) -> Tensor:
        """Give some rows, copied, shape (n, values)."""
        return self.read(key)

    def read(self, key: slice | Tensor | Places, into: Tensor | None = None) -> Tensor:
        """Give some rows, in the beginning of a tensor if there is one: new memory costs time."""
        if isinstance(key, slice):
            places = np.arange(*key.indices(len(self)))
        else:
            places = np.asarray(key, np.int64)
        if len(self.parts) == 1:
            file, rows = self.parts[0]
            return file.read(places + rows.start, into)
        if into is None:
            into = torch.empty(len(places), self.shape[1], dtype=self.dtype)
        result = into[: len(places)]
        begin = 0
        for file, rows in self.parts:
            own = np.flatnonzero((places >= begin) & (places < begin + len(rows)))
            if len(own) and own[-1] - own[0] == len(own) - 1:
                file.read(places[own] - begin + rows.start, result[own[0] : own[-1] + 1])
            elif len(own):
                result[torch.from_numpy(own)] = file.read(places[own] - begin + rows.start)
            begin += len(rows)
        return result

    def first(self, count: int) -> StoredFeatures:
        """Give the first rows without reading them."""
        parts = []
        for file, rows in self.parts:
            parts.append((file, rows[: max(count, 0)]))
            count -= len(rows)
        return StoredFeatures(tuple(parts))


Features = Tensor | StoredFeatures
"""Shape (N, values)."""


def joined_features(parts: Sequence[Features]) -> Features:
    """Give several sets of rows as one; in a file if one of them is."""
    if not any(isinstance(part, StoredFeatures) for part in parts):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    joined: list[tuple[FeatureFile, range]] = []
    for part in parts:
        if isinstance(part, StoredFeatures):
            joined += part.parts
        else:
            file = FeatureFile((part.shape[0], part.shape[1]), part.dtype, None)
            file.write(np.arange(len(part)), part.cpu())
            joined.append((file, range(len(part))))
    return StoredFeatures(tuple(joined))


class NewFeatures:
    """Room for rows that come in any order, made when the first do: a tensor, or a file.

    Parameters
    ----------
    count
        Number of rows.
    most_bytes
        Of a tensor.
    folder
        See `FeatureFile`.
    """

    def __init__(self, count: int, most_bytes: int, folder: Path | None) -> None:
        self.count = count
        self._most_bytes = most_bytes
        self._folder = folder
        self._made: Tensor | FeatureFile | None = None

    def put(self, places: Sequence[int] | Places, rows: Tensor) -> None:
        """Take some rows, shape (n, values); all of one width and type."""
        if self._made is None:
            shape = self.count, rows.shape[1]
            if self.count * rows.shape[1] * rows.dtype.itemsize <= self._most_bytes:
                self._made = torch.empty(shape, dtype=rows.dtype)
            else:
                self._made = FeatureFile(shape, rows.dtype, self._folder)
        index = np.asarray(places, np.int64)
        if isinstance(self._made, Tensor):
            self._made[torch.from_numpy(index)] = rows.detach()
        else:
            self._made.write(index, rows)

    def finished(self) -> Features:
        """Give the rows, once all are there."""
        assert self._made is not None
        if isinstance(self._made, Tensor):
            return self._made
        return StoredFeatures(((self._made, range(self.count)),))
