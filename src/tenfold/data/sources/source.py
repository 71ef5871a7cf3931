"""What a data source offers, and the registry of all sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tenfold.core.errors import DataError
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress
from tenfold.core.records.data import ValueRanges
from tenfold.core.registry import Registry
from tenfold.data.dataset import ImageDataset
from tenfold.data.images.pillow import LARGE_IMAGE_SIZE_PX


@dataclass(frozen=True)
class SourceOptions:
    """What a source may be told.

    Parameters
    ----------
    seed
        For a split made by us.
    test_fraction
        Share of each class that becomes the test split, where the data set comes with none.
    image_size_px
        Height and width to resize to; None for a size that the source chooses.
    large_image_size_px
        The largest size that a source of photographs chooses.
    is_strict
        Whether an unreadable image stops the run (otherwise it is listed and left out).
    is_offline
        Whether downloads are forbidden.
    most_megapixels
        Images with more are left out; None for the default.
    path_column, label_column, split_column, group_column, order_column
        What a table calls the columns of image files, labels, splits, groups that stay together,
        and what the images are ordered by; None to find them, but for the last.
    group_by, order_by
        Rules that say which images stay together and in what order they were taken, see
        `tenfold.data.sources.grouping`; None for none.
    find_series
        Given images, labels, paths and EXIF, finds which images belong together where nothing says
        so; None to look for nothing.
    value_ranges
        Those of a model that images of more than 8 bits are for; None to find them in the training
        images.
    on_files
        Told the `LabelledFiles` of a data set of files before any is decoded; what it raises ends
        the reading.
    work_folder
        Where pixels that are too many for the memory wait; None for where the system keeps
        temporary files. They are gone when the data set is.
    """

    seed: int = 0
    test_fraction: float = 0.2
    image_size_px: int | None = None
    large_image_size_px: int = LARGE_IMAGE_SIZE_PX
    is_strict: bool = False
    is_offline: bool = False
    most_megapixels: float | None = None
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    order_column: str | None = None
    group_by: str | None = None
    order_by: str | None = None
    find_series: Callable[..., Any] | None = None
    value_ranges: ValueRanges | None = None
    on_files: Callable[[Any], None] | None = None
    work_folder: Path | None = None

    def split_note(
        self, drawn: str = "of each class, at least one image of every class that has two"
    ) -> str:
        """Say that the test images were drawn by us, and of what."""
        return (
            f"Split by tenfold: {self.test_fraction:.0%} {drawn}, drawn with seed {self.seed}, are "
            "the test images."
        )


class Source(Protocol):
    """A place that data sets come from."""

    name: str
    summary: str
    """One line for ``tenfold data``."""
    needs_path: bool
    """Whether it has no place of its own, so that its name alone names no data."""

    def recognises(self, path: Path) -> bool:
        """Say whether `path` looks like this source's files; opens as little as possible."""

    def available(self) -> str | None:
        """Say where this source's data lie on this machine, ready without network; None if not."""

    def fingerprint(self, path: Path | None) -> str:
        """Give a cheap digest of the files (names, sizes, times) that changes when they do."""

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Read the data set; `path` None means the source's own place or a download.

        Raises
        ------
        DataError
            If the files are not what they should be; the message names file and remedy.
        """


SOURCES: Registry[Source] = Registry("tenfold.data.sources", "SOURCE", kind="data source")
"""All data sources by name."""
OF_IMAGE_FILES = "is_of_image_files"
"""What a source's class assigns, in one line, whose images are decoded at a size that is chosen."""


def fingerprint_of_files(root: Path, files: Iterable[Path]) -> str:
    """Give a digest over each file's path below `root`, its size and its time of change.

    No file is opened. The order of `files` does not matter, and neither does where `root` lies. A
    file that cannot be looked at counts with its name alone.

    Raises
    ------
    DataError
        If `root` does not exist.
    """
    if not root.exists():
        raise DataError(f"{root} does not exist. Check the path given with --data.")
    rows: list[tuple[str, int, int]] = []
    for file in files:
        name = file.relative_to(root).as_posix()
        try:
            status = file.stat()
        except OSError:
            rows.append((name, -1, -1))
        else:
            rows.append((name, status.st_size, status.st_mtime_ns))
    return sha256_of_json(sorted(rows))
