"""A folder of images, one folder a class: a data set with its splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress
from tenfold.core.records.data import LeftOutImage
from tenfold.core.text import counted, shortlist
from tenfold.data.dataset import Groups, ImageDataset, Images, ImageSplit, Indices, Labels
from tenfold.data.sources.folder_files import natural_key, sub_folders
from tenfold.data.sources.folder_layout import LAYOUTS, FolderLayout, read_layout
from tenfold.data.sources.folder_splits import Role
from tenfold.data.sources.source import Source, SourceOptions, fingerprint_of_files
from tenfold.data.splits import (
    exact_groups,
    joined_groups,
    regrouped,
    stratified_split,
)

_MOST_REASONS = 3  # More in one line are not read by anyone; the page lists all images.

_READING = 2
"""Raised when the same files give other classes, splits or pixels than before."""


class FolderSource:
    """A folder of image files.

    One sub-folder a class, with images at any depth below it; either one tree, which we split, or
    with splits of its own: training and test, and validation, by which the training is watched
    then. `tenfold.data.sources.folder_splits` says what is understood. Classes are matched by name
    and sorted naturally: "2" before "10". Images are put into a random order that the seed fixes,
    so that any part of them is a fair sample.

    `tenfold.data.images.decoding` says what becomes of transparency, 16 bits, rotation and the
    like; `tenfold.data.images.reading` what of sizes.
    """

    name = "folder"
    needs_path = True
    summary = "your own images: a folder with one sub-folder a class, or train/ and test/"

    def recognises(self, path: Path) -> bool:
        """Say whether `path` is a folder with a sub-folder."""
        try:
            return path.is_dir() and bool(sub_folders(path))
        except OSError:
            return False

    def available(self) -> str | None:
        """Say no: a folder must be named."""
        return None

    def fingerprint(self, path: Path | None) -> str:
        """Give a digest of all used files' paths, sizes and times, by split."""
        root = _given(path)
        listed = label_files(read_layout(root))
        parts = [~listed.is_test & ~listed.is_validation, listed.is_validation, listed.is_test]
        digests = [
            fingerprint_of_files(root, [listed.files[row] for row in np.flatnonzero(part)])
            for part in parts
        ]
        return sha256_of_json([_READING, *digests])

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Decode all images and split them; say what was not used, and which size was chosen.

        Raises
        ------
        DataError
            If the layout is not understood, there are no images or only one class, a class is in
            the test or validation split alone, no class can spare a test image, or (if strict) an
            image cannot be read.
        """
        # Pillow is not needed to list the sources.
        from tenfold.data.images.reading import decode_files

        root = _given(path)
        layout = read_layout(root)
        if options.is_strict and layout.left_out:
            first = layout.left_out[0]
            raise DataError(f"{first.path} cannot be read: {first.reason}.")
        listed = label_files(layout)
        usable_classes(root, layout, listed, np.ones(len(listed.files), dtype=bool))
        decoded = decode_files(
            listed.files,
            options.image_size_px,
            progress,
            is_strict=options.is_strict,
            large_image_size_px=options.large_image_size_px,
            is_training=None if layout.test is None else ~listed.is_test,
            ranges=options.value_ranges,
            most_megapixels=options.most_megapixels,
        )
        is_used = usable_classes(root, layout, listed, decoded.is_read)
        train, test, train_rows = split_images(
            decoded.images, listed, decoded.is_read, options, has_test=layout.test is not None
        )
        is_validation = listed.is_validation[train_rows]
        train, test = (without_unused_labels(split, is_used) for split in (train, test))
        if not len(test):
            raise DataError(_no_test_images(root, layout))
        classes = tuple(name for name, used in zip(listed.names, is_used, strict=True) if used)
        left_out = (*layout.left_out, *decoded.left_out)
        notes = (
            *layout.notes,
            *_unused_classes(layout, listed, is_used),
            *decoded.notes,
            *untested_notes(classes, test),
            *([decoded.size_note] if decoded.size_note else []),
        )
        split_note = _split_note(layout, options, len(train), int(is_validation.sum()), len(test))
        for line in (split_note, *notes, *left_out_lines(left_out)):
            progress.say(line)
        return ImageDataset(
            source=self.name,
            location=str(root),
            title=root.resolve().name,
            description=f"{len(train) + len(test):,} images from a folder, one sub-folder a class.",
            classes=classes,
            train=train,
            test=test,
            split_note=split_note,
            resized=decoded.resized,
            left_out=left_out,
            notes=notes,
            is_validation=is_validation if is_validation.any() else None,
            value_ranges=decoded.ranges,
        )


SOURCE: Source = FolderSource()


def _given(path: Path | None) -> Path:
    if path is None:
        raise DataError(
            f"The source 'folder' needs a path: tenfold run --data PATH. Expected "
            f"{'; or '.join(LAYOUTS)}."
        )
    return path


def _split_note(
    layout: FolderLayout, options: SourceOptions, train: int, validation: int, test: int
) -> str:
    if layout.test is None:
        return (
            f"Split by tenfold: {options.test_fraction:.0%} of each class, at least one image of "
            f"every class that has two, drawn with seed {options.seed}, are the test images."
        )
    parts = [
        f"{layout.named('train')} for training ({counted(train - validation, 'image')})",
        f"{layout.named('test')} for testing ({counted(test, 'image')})",
    ]
    if validation:
        images = counted(validation, "image")
        parts.insert(1, f"{layout.named('validation')} for validation ({images})")
    return f"The folder's own splits: {', '.join(parts)}."


def _no_test_images(root: Path, layout: FolderLayout) -> str:
    if layout.test is None:
        return (
            f"{root} has one image a class, so none can be set aside as test images. Add images: "
            "at least two of one class, better twenty of each."
        )
    return (
        f"{layout.named('test')} in {layout.folder} has no readable image. Add test images, or "
        "rename the folder so that a test split is made from the training images."
    )


def _unused_classes(
    layout: FolderLayout, listed: LabelledFiles, is_used: npt.NDArray[np.bool_]
) -> Iterator[str]:
    """Name the class folders that became no class, and say why."""
    all_files = listed.counts(np.ones(len(listed.files), dtype=bool))
    unused = [
        f"{name} ({layout.empty.get(name) or counted(int(count), 'image') + ', all unreadable'})"
        for name, count, used in zip(listed.names, all_files, is_used, strict=True)
        if not used
    ]
    if unused:
        were = "was" if len(unused) == 1 else "were"
        yield (
            f"{counted(len(unused), 'class folder')} without a readable image {were} left out: "
            f"{shortlist(unused)}."
        )


def untested_notes(classes: Sequence[str], test: ImageSplit) -> Iterator[str]:
    """Name the classes that the test split lacks."""
    counts = test.counts(len(classes))
    untested = [name for name, count in zip(classes, counts, strict=True) if not count]
    if untested:
        yield f"Classes without a test image, so without a measured score: {shortlist(untested)}."


def left_out_lines(left_out: tuple[LeftOutImage, ...]) -> Iterator[str]:
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


@dataclass(frozen=True)
class LabelledFiles:
    """All image files of a layout, class by class.

    Parameters
    ----------
    files
        N files.
    names
        All class names of all splits, sorted naturally.
    labels
        int64, shape (N,), index into `names`.
    is_test, is_validation
        bool, shape (N,): in the layout's own test or validation split.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]
    labels: Labels
    is_test: npt.NDArray[np.bool_]
    is_validation: npt.NDArray[np.bool_]

    def counts(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """Give how many chosen files each class has; shape (classes,)."""
        return np.bincount(self.labels[chosen], minlength=len(self.names))


def label_files(layout: FolderLayout) -> LabelledFiles:
    """List a layout's files with their labels; a class has one label in all splits."""
    splits = (layout.train, layout.validation, layout.test or {})
    names = tuple(sorted(set().union(*splits), key=natural_key))
    files: list[Path] = []
    labels: list[int] = []
    parts: list[int] = []
    for label, name in enumerate(names):
        for part, split in enumerate(splits):
            found = split.get(name, [])
            files += found
            labels += [label] * len(found)
            parts += [part] * len(found)
    part_of = np.array(parts, dtype=np.int64)
    return LabelledFiles(
        tuple(files), names, np.array(labels, dtype=np.int64), part_of == 2, part_of == 1
    )


def usable_classes(
    root: Path, layout: FolderLayout, listed: LabelledFiles, chosen: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Say which classes have training images among the chosen files.

    Called before decoding with all files, so that a wrong layout fails at once, and after it with
    those that could be read.

    Returns
    -------
    bool, shape (classes,).

    Raises
    ------
    DataError
        If a class has test or validation images alone, or fewer than two classes have images.
    """
    train = listed.counts(chosen & ~listed.is_test & ~listed.is_validation) > 0
    known = _chosen_names(listed.names, train)
    held_out: dict[Role, npt.NDArray[np.bool_]] = {
        "test": listed.is_test,
        "validation": listed.is_validation,
    }
    for role, is_in in held_out.items():
        if orphans := _chosen_names(listed.names, (listed.counts(chosen & is_in) > 0) & ~train):
            near = [match for name in orphans for match in nearest_names(name, known)]
            hint = f" Did you mean {shortlist(sorted(set(near)))}?" if near else ""
            raise DataError(
                f"{layout.named(role)} in {layout.folder} has classes without a training image: "
                f"{shortlist(orphans)}. Training has {shortlist(known)}.{hint} A class of the "
                f"{role} split must be in training too, under the same name: rename its folder, "
                "add images, or remove it."
            )
    if len(known) == 1:
        empty = "".join(f" {name}: {content}." for name, content in layout.empty.items())
        raise DataError(
            f"{root} has images of one class only ({known[0]}). A classifier needs at least two: "
            f"expected {'; or '.join(LAYOUTS)}.{empty}"
        )
    return train


def split_images(
    images: Images,
    listed: LabelledFiles,
    is_read: npt.NDArray[np.bool_],
    options: SourceOptions,
    *,
    has_test: bool,
    groups: Groups | None = None,
) -> tuple[ImageSplit, ImageSplit, Indices]:
    """Give both splits in a random order, as views of `images`, whose rows are reordered.

    Labels are those of `listed`. Images of one of the `groups` are in one split, and copies always
    are. The indices say which of the files each training image is.
    """
    rng = np.random.default_rng(options.seed)
    rows = np.flatnonzero(is_read)
    if has_test:
        train = rng.permutation(rows[~listed.is_test[rows]])
        test = rng.permutation(rows[listed.is_test[rows]])
    else:
        together = exact_groups(images)
        if groups is not None:
            together = joined_groups(together, groups)
        drawn_from = regrouped(together, rows)
        train, test = (
            rows[part]
            for part in stratified_split(
                listed.labels[rows], options.test_fraction, rng, drawn_from
            )
        )
    reorder_rows(images, np.concatenate([train, test, np.flatnonzero(~is_read)]))
    end = len(train) + len(test)
    return (
        ImageSplit(images[: len(train)], listed.labels[train]),
        ImageSplit(images[len(train) : end], listed.labels[test]),
        train,
    )


def without_unused_labels(split: ImageSplit, is_used: npt.NDArray[np.bool_]) -> ImageSplit:
    """Count a split's labels among the used classes alone."""
    return ImageSplit(split.images, (np.cumsum(is_used) - 1)[split.labels].astype(np.int64))


def _chosen_names(names: tuple[str, ...], chosen: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, is_chosen in zip(names, chosen.tolist(), strict=True) if is_chosen)


def reorder_rows(rows: npt.NDArray[np.uint8], order: npt.NDArray[np.intp]) -> None:
    """Make row k what row ``order[k]`` was, in place, for every k.

    Follows the permutation's cycles, so one spare row is all the memory it takes.

    Parameters
    ----------
    rows
        Shape (N, ...).
    order
        A permutation of 0 to N - 1.
    """
    assert len(order) == len(rows)
    sources = order.tolist()
    is_placed = [False] * len(sources)
    for start in range(len(sources)):
        if is_placed[start] or sources[start] == start:
            continue
        spare = rows[start].copy()
        target = start
        while (source := sources[target]) != start:
            rows[target] = rows[source]
            is_placed[target] = True
            target = source
        rows[target] = spare
        is_placed[target] = True
