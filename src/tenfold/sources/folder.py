"""Images in folders, one sub-folder a class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tenfold.core.errors import DataError
from tenfold.core.progress import Progress
from tenfold.data.dataset import ImageDataset, ImageSplit
from tenfold.sources.fingerprint import fingerprint_of_files
from tenfold.sources.folder_layout import LAYOUTS, FolderLayout, read_layout
from tenfold.sources.folder_scan import sub_folders
from tenfold.sources.folder_split import (
    joined,
    label_files,
    split_images,
    usable_classes,
    without_unused_labels,
)
from tenfold.sources.source import Source, SourceOptions


class FolderSource:
    """A folder of image files.

    One sub-folder a class, with images at any depth below it; either one tree, which we split, or
    ``train`` and ``test`` (or ``val``, or ``validation``). With ``train``, ``val`` and ``test``,
    the validation images join the training images, as every study makes its own validation split.
    Classes are matched by name and sorted naturally: "2" before "10". Images are put into a random
    order that the seed fixes, so that any part of them is a fair sample.

    `image_decoding` says what becomes of transparency, 16 bits, rotation and the like;
    `image_array` what of sizes and channels.
    """

    name = "folder"
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
        """Give a digest of all image files' paths, sizes and times."""
        root = _given(path)
        return fingerprint_of_files(root, label_files(read_layout(root)).files)

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Decode all images and split them.

        Raises
        ------
        DataError
            If the layout is not understood, there are no images or only one class, a class is in
            the test split alone, no class can spare a test image, or (if strict) an image cannot
            be read.
        """
        # Pillow is not needed to list the sources.
        from tenfold.sources.image_array import decode_files

        root = _given(path)
        layout = read_layout(root)
        if options.is_strict and layout.left_out:
            first = layout.left_out[0]
            raise DataError(f"{first.path} cannot be read: {first.reason}.")
        listed = label_files(layout)
        usable_classes(root, layout, listed, np.ones(len(listed.files), dtype=bool))
        decoded = decode_files(
            listed.files, options.image_size_px, progress, is_strict=options.is_strict
        )
        is_used = usable_classes(root, layout, listed, decoded.is_read)
        splits = split_images(
            decoded.images, listed, decoded.is_read, options, has_test=layout.test is not None
        )
        train, test = (without_unused_labels(split, is_used) for split in splits)
        if not len(test):
            raise DataError(_no_test_images(root, layout))
        classes = tuple(name for name, used in zip(listed.names, is_used, strict=True) if used)
        unused = tuple(name for name, used in zip(listed.names, is_used, strict=True) if not used)
        return ImageDataset(
            source=self.name,
            location=str(root),
            title=root.resolve().name,
            description=f"{len(train) + len(test):,} images from a folder, one sub-folder a class.",
            classes=classes,
            train=train,
            test=test,
            split_note=_split_note(layout, options),
            resized=decoded.resized,
            left_out=(*layout.left_out, *decoded.left_out),
            notes=(*layout.notes, *_notes(classes, unused, test)),
        )


SOURCE: Source = FolderSource()


def _given(path: Path | None) -> Path:
    if path is None:
        raise DataError(
            f"The source 'folder' needs a path: tenfold run --data PATH. Expected "
            f"{'; or '.join(LAYOUTS)}."
        )
    return path


def _split_note(layout: FolderLayout, options: SourceOptions) -> str:
    if layout.test is not None:
        return f"The folder's own split: {layout.test_folder}/ is the test split."
    return (
        f"Split by tenfold: {options.test_fraction:.0%} of each class, at least one image of "
        f"every class that has two, drawn with seed {options.seed}, are the test images."
    )


def _no_test_images(root: Path, layout: FolderLayout) -> str:
    if layout.test is None:
        return (
            f"{root} has one image a class, so none can be set aside as test images. Add images: "
            "at least two of one class, better twenty of each."
        )
    return (
        f"{root / layout.test_folder} has no readable image. Add test images, or rename the folder "
        "so that a test split is made from the training images."
    )


def _notes(classes: tuple[str, ...], unused: tuple[str, ...], test: ImageSplit) -> Iterator[str]:
    if unused:
        yield f"Class folders without a readable image were left out: {joined(unused)}."
    counts = test.counts(len(classes))
    untested = [name for name, count in zip(classes, counts, strict=True) if not count]
    if untested:
        yield f"Classes without a test image, so without a measured score: {joined(untested)}."
