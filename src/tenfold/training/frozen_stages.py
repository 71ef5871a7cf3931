"""Batches of a fine-tuning whose lower stages stay as they are, and are computed once a view.

An image is shown in a few augmented views in turn. What the lower stages give of a view never
changes, so it is kept, in float16, and an epoch costs what the upper stages do. Of an
EfficientNet-Lite0 the lower stages are most of the work, as their maps are large
(docs/transfer.md).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tenfold.core.progress import Progress
from tenfold.models.model import ImageNetwork
from tenfold.training.batches import Targets, TrainingBatches
from tenfold.training.device import Device
from tenfold.training.prefetching import prefetched

MOST_BYTES = 2 << 30
"""Of maps that are kept in files: what does not fit is computed whenever it is shown."""
MOST_BYTES_IN_MEMORY = 1 << 29
"""The same where there is no folder for files."""
_BLOCK_IMAGES = 32
"""Computed at once, always the same ones together: else a map's last bits would tell whether a
training was resumed."""
_BLOCKS_BETWEEN_WRITES = 16


@dataclass(frozen=True)
class LowerMaps:
    """What the lower stages give of some images.

    Parameters
    ----------
    maps
        The last map, shape (B, C, H, W), channels last in memory.
    means
        Of the maps that features are made of, float32, shape (B, any).
    """

    maps: Tensor
    means: Tensor

    def __len__(self) -> int:
        return len(self.maps)

    def to(self, device: torch.device) -> LowerMaps:
        """Give them on a device."""
        return LowerMaps(self.maps.to(device), self.means.to(device))


class FrozenStages:
    """Gives the batches of a training as the lower stages see them.

    Parameters
    ----------
    network
        Its body is a `FrozenFeatures` of which some stages are trained.
    batches
        The images of the training, augmented.
    device, precision
        Where, and in what type the lower stages compute.
    folder
        Where to keep maps, and look for those of an earlier attempt; None for in memory.
    progress, title
        Who is told.
    """

    def __init__(
        self,
        network: ImageNetwork,
        batches: TrainingBatches,
        *,
        device: Device,
        precision: torch.dtype,
        folder: Path | None,
        progress: Progress,
        title: str,
    ) -> None:
        body = network.body.frozen
        assert body is not None
        self._network, self._body = network, body
        self._batches = batches
        self._device, self._precision = device, precision
        self._folder = folder
        self._progress, self._title = progress, title
        self._kept: dict[int, _KeptView] = {}
        some, means = self._computed(0, np.zeros(1, np.int64))
        self._map_shape = tuple(some.permute(0, 2, 3, 1).shape[1:])
        self._means_count = means.shape[1]
        view_bytes = len(batches.split) * (2 * int(np.prod(self._map_shape)) + 4 * means.shape[1])
        most_bytes = MOST_BYTES if folder is not None else MOST_BYTES_IN_MEMORY
        self.views = min(body.fine_tune_views, most_bytes // max(1, view_bytes))
        """How many views are kept; 0 if each is computed whenever it is shown."""

    def epoch(
        self, epoch: int, *, first_step: int = 0, is_over: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[LowerMaps, Targets]]:
        """Give the batches of one epoch, from `first_step` on; see `TrainingBatches.epoch`.

        Parameters
        ----------
        is_over
            Says whether the time is up. A view that is being computed then is left, and an earlier
            one shown.
        """
        shown = epoch % self.views if self.views else epoch
        if self.views:
            while not self._is_ready(shown, is_over if shown else lambda: False):
                shown -= 1
        for rows, labels in self._batches.rows(epoch, first_step=first_step):
            if self.views:
                yield self._kept[shown].rows(rows).to(self._device.torch_device), labels
            else:
                yield LowerMaps(*self._computed(shown, rows)), labels

    def logits(self, lower: LowerMaps) -> Tensor:
        """Give the network's logits, shape (B, classes)."""
        return self._body.logits(self._body.upper(lower.maps, lower.means))

    def close(self) -> None:
        """Forget all maps."""
        self._kept.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _is_ready(self, view: int, is_over: Callable[[], bool]) -> bool:
        """Compute what is missing of a view; give False if the time was up before its end."""
        count = len(self._batches.split)
        if view not in self._kept:
            self._kept[view] = _KeptView.opened(
                self._folder, view, count, self._map_shape, self._means_count
            )
        kept = self._kept[view]
        missing = np.flatnonzero(~kept.is_there[::_BLOCK_IMAGES])
        if not len(missing):
            return True
        with self._progress.task(
            f"{self._title}: view {view + 1} of {self.views}", count, unit="images"
        ) as task:
            task.advance(count - min(count, len(missing) * _BLOCK_IMAGES))
            starts = (_BLOCK_IMAGES * missing).tolist()
            blocks = [np.arange(start, min(start + _BLOCK_IMAGES, count)) for start in starts]
            shown = prefetched((rows, self._batches.view(view, rows)[0]) for rows in blocks)
            for place, (rows, pixels) in enumerate(shown):
                if is_over():
                    return False
                kept.put(rows, *self._maps(pixels))
                if place % _BLOCKS_BETWEEN_WRITES == 0:
                    kept.write()
                task.advance(len(rows))
        kept.write()
        return True

    def _computed(self, view: int, rows: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return self._maps(self._batches.view(view, rows)[0])

    @torch.no_grad()
    def _maps(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        with self._device.autocast(self._precision):
            maps, means = self._body.lower(self._network.normalized(pixels))
        return maps, means.float()


class _KeptView:
    """The maps of all images in one view, in memory or in files."""

    def __init__(self, arrays: tuple[npt.NDArray[Any], ...]) -> None:
        self._maps, self._means, self.is_there = arrays
        self._pending: list[npt.NDArray[np.int64]] = []

    @classmethod
    def opened(
        cls,
        folder: Path | None,
        view: int,
        count: int,
        map_shape: tuple[int, ...],
        means_count: int,
    ) -> _KeptView:
        """Make room for a view, or find what an earlier attempt left of it."""
        parts: dict[str, tuple[tuple[int, ...], type]] = {
            "maps": ((count, *map_shape), np.float16),
            "means": ((count, means_count), np.float32),
            "there": ((count,), np.bool_),
        }
        if folder is None:
            return cls(tuple(np.zeros(shape, kind) for shape, kind in parts.values()))
        folder.mkdir(parents=True, exist_ok=True)
        return cls(
            tuple(
                _file(folder / f"view_{view}_{part}.npy", shape, kind)
                for part, (shape, kind) in parts.items()
            )
        )

    def put(self, rows: npt.NDArray[np.int64], maps: Tensor, means: Tensor) -> None:
        """Keep some images' maps."""
        self._maps[rows] = maps.permute(0, 2, 3, 1).half().cpu().numpy()
        self._means[rows] = means.cpu().numpy()
        self._pending.append(rows)

    def write(self) -> None:
        """Let the maps be on disk before it is said that they are."""
        for array in (self._maps, self._means):
            _flush(array)
        for rows in self._pending:
            self.is_there[rows] = True
        _flush(self.is_there)
        self._pending.clear()

    def rows(self, rows: npt.NDArray[np.int64]) -> LowerMaps:
        """Give the maps of some images, on the CPU."""
        maps = torch.from_numpy(np.ascontiguousarray(self._maps[rows])).float()
        means = torch.from_numpy(np.ascontiguousarray(self._means[rows]))
        return LowerMaps(maps.permute(0, 3, 1, 2), means)


def _file(path: Path, shape: tuple[int, ...], kind: type) -> npt.NDArray[Any]:
    """Open an array's file, as it was left if it is of this shape, else made anew."""
    if 0 in shape:  # nothing can be mapped
        return np.zeros(shape, kind)
    try:
        found: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r+")
        if found.shape == shape and found.dtype == kind:
            return found
    except (OSError, ValueError):
        pass
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)


def _flush(array: npt.NDArray[Any]) -> None:
    if isinstance(array, np.memmap):
        array.flush()
