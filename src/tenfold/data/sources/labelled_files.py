"""Image files with their labels, decoded and split: what a folder and a table have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.core.progress import Progress
from tenfold.core.records.data import LeftOutImage
from tenfold.core.text import counted, shortlist
from tenfold.data.dataset import ImageDataset, ImageSplit, Indices, Labels
from tenfold.data.sources.arrangement import Arrangement, FileRules, Setting
from tenfold.data.sources.grouping import below
from tenfold.data.sources.pixel_rows import FileT, NewRows, reorder_rows, stored_images
from tenfold.data.sources.source import SourceOptions
from tenfold.data.splits import groups_of_digests, joined_groups, regrouped
from tenfold.data.store import AnyImages, StoredImages

if TYPE_CHECKING:
    from tenfold.data.images.reading import DecodedImages

ItemT = TypeVar("ItemT")

_MOST_REASONS = 3  # More in one line are not read by anyone; the page lists all images.


class MadeWhenAsked(Sequence[ItemT]):
    """Items that are made when they are asked for, so that millions of them take no room.

    Parameters
    ----------
    places
        Of the items, in their order.
    make
        Makes the item of a place.
    """

    def __init__(self, places: range, make: Callable[[int], ItemT]) -> None:
        self._places, self._make = places, make

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, key: int) -> ItemT: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[ItemT]: ...
    def __getitem__(self, key: int | slice) -> ItemT | Sequence[ItemT]:
        if isinstance(key, slice):
            return MadeWhenAsked(self._places[key], self._make)
        return self._make(self._places[key])


@dataclass(frozen=True)
class LabelledFiles(Generic[FileT]):
    """All image files of a data set, with what is said of each.

    Parameters
    ----------
    files
        N files, or places of encoded images in something larger.
    names
        All class names of all splits, sorted naturally.
    labels
        int64, shape (N,), index into `names`.
    is_test, is_validation
        bool, shape (N,): in the data set's own test or validation split.
    """

    files: Sequence[FileT]
    names: tuple[str, ...]
    labels: Labels
    is_test: npt.NDArray[np.bool_]
    is_validation: npt.NDArray[np.bool_]

    def counts(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """Give how many chosen files each class has; shape (classes,)."""
        return np.bincount(self.labels[chosen], minlength=len(self.names))


@dataclass(frozen=True)
class ReadFiles:
    """What became of labelled files.

    Parameters
    ----------
    decoded
        What was found; its images are in the order of the splits, or where they were.
    classes
        Those of the names that have training images.
    is_used
        bool, shape (names,): which names these are.
    train, test
        In a random order; labels count the classes.
    train_rows, test_rows
        Which of the files each image is.
    is_validation
        bool, shape (training images,): in the data set's own validation split.
    arranged
        Which files belong together, and their order, if anything says so.
    """

    decoded: DecodedImages
    classes: tuple[str, ...]
    is_used: npt.NDArray[np.bool_]
    train: ImageSplit
    test: ImageSplit
    train_rows: Indices
    test_rows: Indices
    is_validation: npt.NDArray[np.bool_]
    arranged: Arrangement

    @property
    def count(self) -> int:
        """Give the number of images of both splits."""
        return len(self.train) + len(self.test)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Give the numbers of images to train on, to validate by and to test on."""
        validation = int(self.is_validation.sum())
        return len(self.train) - validation, validation, len(self.test)

    def dataset(
        self,
        progress: Progress,
        *,
        source: str,
        location: str,
        title: str,
        description: str,
        split_note: str,
        notes: Sequence[str],
        left_out: tuple[LeftOutImage, ...] = (),
    ) -> ImageDataset:
        """Give the data set, and say what was not used and which size was chosen.

        `left_out` and `notes` are what was found before decoding.
        """
        left_out = (*left_out, *self.decoded.left_out)
        grouping, order = self.arranged.grouping, self.arranged.order
        notes = (
            *notes,
            *self.arranged.notes,
            *self.decoded.notes,
            *untested_notes(self.classes, self.test),
            *([self.decoded.size_note] if self.decoded.size_note else []),
        )
        for line in (split_note, *notes, *_left_out_lines(left_out)):
            progress.say(line)
        return ImageDataset(
            source=source,
            location=location,
            title=title,
            description=description,
            classes=self.classes,
            train=self.train,
            test=self.test,
            split_note=split_note,
            resized=self.decoded.resized,
            left_out=left_out,
            notes=notes,
            is_validation=self.is_validation if self.is_validation.any() else None,
            value_ranges=self.decoded.ranges,
            grouping=None
            if grouping is None
            else replace(
                grouping,
                groups=regrouped(
                    grouping.groups, np.concatenate([self.train_rows, self.test_rows])
                ),
            ),
            train_order=None if order is None else order[self.train_rows],
        )


def read_labelled_files(
    listed: LabelledFiles[FileT],
    options: SourceOptions,
    progress: Progress,
    *,
    usable_classes: Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.bool_]],
    has_test: bool,
    root: str,
    columns: Mapping[Setting, Sequence[str]] | None = None,
    column_names: Mapping[Setting, str] = MappingProxyType({}),
) -> ReadFiles:
    """Decode image files and split them if the data set does not.

    Parameters
    ----------
    usable_classes
        Says which names have training images among the chosen files, or raises. Called before
        decoding with all files, so that a wrong layout fails at once, and after it with those that
        could be read.
    has_test
        Whether the data set has a test split of its own.
    root
        Where the data set lies: paths count from there.
    columns, column_names
        What a table says of groups and order, a value a file, and what it calls that; None where
        there is no table.

    Raises
    ------
    DataError
        If (strict) an image cannot be read, a rule finds nothing, or what `usable_classes` raises.
    """
    from tenfold.data.images.reading import decode_files  # Pillow is not needed to list sources

    usable_classes(np.ones(len(listed.files), dtype=bool))
    if options.on_files is not None:
        options.on_files(listed)
    names = MadeWhenAsked(range(len(listed.files)), lambda row: below(root, str(listed.files[row])))
    rules = FileRules(options, names, columns, column_names)
    room = NewRows(options.work_folder)
    decoded = decode_files(
        listed.files,
        options.image_size_px,
        progress,
        is_strict=options.is_strict,
        large_image_size_px=options.large_image_size_px,
        is_training=~listed.is_test if has_test else None,
        ranges=options.value_ranges,
        most_megapixels=options.most_megapixels,
        new_rows=room.of,
    )
    is_used = usable_classes(decoded.is_read)
    images = stored_images(decoded, room.pixels, listed.files, options)
    arranged = rules.arrangement(
        decoded.taken,
        np.flatnonzero(decoded.is_read),
        images,
        listed.labels,
        listed.names,
        listed.is_test if has_test else None,
    )
    train_rows, test_rows = _split_rows(decoded, room, listed, options, arranged, has_test=has_test)
    train, test = _split_images(decoded, images, listed, train_rows, test_rows)
    return ReadFiles(
        decoded=decoded,
        classes=tuple(name for name, used in zip(listed.names, is_used, strict=True) if used),
        is_used=is_used,
        train=_without_unused_labels(train, is_used),
        test=_without_unused_labels(test, is_used),
        train_rows=train_rows,
        test_rows=test_rows,
        is_validation=listed.is_validation[train_rows],
        arranged=arranged,
    )


def _split_rows(
    decoded: DecodedImages,
    room: NewRows,
    listed: LabelledFiles[FileT],
    options: SourceOptions,
    arranged: Arrangement,
    *,
    has_test: bool,
) -> tuple[Indices, Indices]:
    """Say which of the files are training and which test images, both in a random order.

    Images of one group are in one split, and copies always are.
    """
    rng = np.random.default_rng(options.seed)
    rows = np.flatnonzero(decoded.is_read)
    if has_test:
        return (
            rng.permutation(rows[~listed.is_test[rows]]),
            rng.permutation(rows[listed.is_test[rows]]),
        )
    together = groups_of_digests(digest.tobytes() for digest in room.digests)
    if arranged.grouping is not None and not arranged.is_mixed:
        together = joined_groups(together, arranged.grouping.groups)
    train, test = arranged.split(
        listed.labels[rows], rows, regrouped(together, rows), options.test_fraction, rng
    )
    orphans = np.setdiff1d(listed.labels[rows[test]], listed.labels[rows[train]])
    if len(orphans):
        raise DataError(
            f"All images of {shortlist([listed.names[label] for label in orphans.tolist()])} are "
            f"among the newest {options.test_fraction:.0%}, the test images, so none is left to "
            "learn from. Leave these classes out, take a smaller part (--set "
            "data.test_fraction=0.1), or split without --order-by."
        )
    return rows[train], rows[test]


def _split_images(
    decoded: DecodedImages,
    images: AnyImages,
    listed: LabelledFiles[FileT],
    train: Indices,
    test: Indices,
) -> tuple[ImageSplit, ImageSplit]:
    """Give both splits, whose labels are those of `listed`."""
    if isinstance(images, StoredImages):
        parts: tuple[AnyImages, AnyImages] = images.rows(train), images.rows(test)
    else:  # No second copy.
        reorder_rows(images, np.concatenate([train, test, np.flatnonzero(~decoded.is_read)]))
        parts = images[: len(train)], images[len(train) : len(train) + len(test)]
    return (
        ImageSplit(parts[0], listed.labels[train]),
        ImageSplit(parts[1], listed.labels[test]),
    )


def _without_unused_labels(split: ImageSplit, is_used: npt.NDArray[np.bool_]) -> ImageSplit:
    """Count a split's labels among the used classes alone."""
    return ImageSplit(split.images, (np.cumsum(is_used) - 1)[split.labels].astype(np.int64))


def untested_notes(classes: Sequence[str], test: ImageSplit) -> Iterator[str]:
    """Name the classes that the test split lacks."""
    counts = test.counts(len(classes))
    untested = [name for name, count in zip(classes, counts, strict=True) if not count]
    if untested:
        yield f"Classes without a test image, so without a measured score: {shortlist(untested)}."


def _left_out_lines(left_out: tuple[LeftOutImage, ...]) -> Iterator[str]:
    """Say how many images could not be read and why, the most frequent reasons first."""
    reasons = Counter(image.reason for image in left_out)
    examples = {image.reason: image.path for image in reversed(left_out)}
    shown = "; ".join(
        f"{count:,} × {reason} ({examples[reason]})"
        for reason, count in reasons.most_common(_MOST_REASONS)
    )
    if shown:
        more = "; ..." if len(reasons) > _MOST_REASONS else ""
        yield f"{counted(len(left_out), 'image')} could not be read, left out: {shown}{more}"
