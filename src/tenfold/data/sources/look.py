"""A look at a data set before it is read: how many images, how large, gray or in colour."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tenfold.core.progress import Progress, TaskContext
from tenfold.core.randomness import derive_seed
from tenfold.data.dataset import ImageDataset, Indices, Labels
from tenfold.data.sources.labelled_files import LabelledFiles
from tenfold.data.sources.source import Source, SourceOptions

LOOKED_AT = 200
"""Images whose headers are read; sizes of a data set differ less than this many would miss."""


@dataclass(frozen=True)
class DataLook:
    """What a data set looks like from outside.

    Parameters
    ----------
    train_counts
        Images of each class to train on, its own validation images included, about: some may turn
        out to be unreadable.
    sizes
        Height and width, px, of a sample of the images, as they lie there, or the one that they are
        to be read at, if one is asked for; not empty.
    is_gray
        Whether all images of the sample have one channel.
    load
        Reads the whole data set, as the acquire stage does, images in the size that suits them.
    """

    train_counts: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    is_gray: bool
    load: Callable[[], ImageDataset]

    @property
    def train_count(self) -> int:
        """Give the number of images to train on."""
        return sum(self.train_counts)

    @property
    def examples_per_class(self) -> int:
        """Give how many training images half of the classes have at least."""
        counts = sorted(count for count in self.train_counts if count)
        return counts[len(counts) // 2] if counts else 0

    @property
    def shorter_side_px(self) -> int:
        """Give the median of the images' shorter sides, in px."""
        sides = sorted(min(size) for size in self.sizes)
        return sides[(len(sides) - 1) // 2]

    @cached_property
    def dataset(self) -> ImageDataset:
        """Give the whole data set; read once."""
        return self.load()


def look_at(
    source: Source, path: Path | None, options: SourceOptions, progress: Progress
) -> DataLook | None:
    """Look at a data set; None for one of which no image can be read.

    A source of files is stopped before it decodes any; one of arrays is read, which is as cheap.

    Raises
    ------
    TenfoldError
        What `Source.load` raises of a data set that is not as it should be.
    """
    bars = _BarsAlone(progress)

    def stop(listed: LabelledFiles[Any]) -> None:
        raise _FilesAreListed(listed)

    try:
        dataset = source.load(path, replace(options, on_files=stop), bars)
    except _FilesAreListed as found:
        return _look_at_files(found.listed, options, lambda: source.load(path, options, bars))
    height, width, channels = dataset.train.images.shape[1:]
    counts = tuple(dataset.train.counts(len(dataset.classes)))
    return DataLook(counts, ((height, width),), channels == 1, lambda: dataset)


class _FilesAreListed(Exception):
    """Ends the reading of a source that has found its files."""

    def __init__(self, listed: LabelledFiles[Any]) -> None:
        super().__init__()
        self.listed = listed


def _look_at_files(
    listed: LabelledFiles[Any], options: SourceOptions, load: Callable[[], ImageDataset]
) -> DataLook | None:
    """Look at a sample of image files; None if none of it can be read."""
    from tenfold.data.images.decoding import read_header  # Pillow is not needed to list sources
    from tenfold.data.images.formats import UnreadableImageError

    headers = []
    # In order, as some archives are read from their beginning.
    for row in sorted(_spread(listed.labels, LOOKED_AT, options.seed).tolist()):
        with suppress(UnreadableImageError):  # The acquire stage says which, and why.
            headers.append(read_header(listed.files[row]))
    if not headers:
        return None
    share = 1.0 if listed.is_test.any() else 1 - options.test_fraction
    counts = tuple(round(share * count) for count in listed.counts(~listed.is_test).tolist())
    sizes = tuple((header.height, header.width) for header in headers)
    if (asked := options.image_size_px) is not None:
        sizes = ((asked, asked),)
    return DataLook(counts, sizes, all(header.is_gray for header in headers), load)


def _spread(labels: Labels, count: int, seed: int) -> Indices:
    """Draw `count` places, the classes in turn: small classes are looked at too."""
    order = np.random.default_rng(derive_seed(seed, "look")).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels))[:-1]])
    rank = np.arange(len(labels)) - starts[labels[by_class]]
    return by_class[np.argsort(rank, kind="stable")][:count]


class _BarsAlone:
    """Shows how far work is, and leaves saying what was found to the stage that finds it again."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def say(self, message: str) -> None:
        """Do nothing."""

    def task(
        self, description: str, total: float, *, done: float = 0.0, unit: str = "it"
    ) -> TaskContext:
        """Open a progress bar."""
        return self._progress.task(description, total, done=done, unit=unit)
