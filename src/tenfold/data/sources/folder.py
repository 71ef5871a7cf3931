"""A folder of images, one folder a class: a data set with its splits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress
from tenfold.core.text import counted, shortlist
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.folder_files import natural_key, sub_folders
from tenfold.data.sources.folder_layout import LAYOUTS, FolderLayout, read_layout
from tenfold.data.sources.folder_splits import Role
from tenfold.data.sources.labelled_files import LabelledFiles, ReadFiles, read_labelled_files
from tenfold.data.sources.source import Source, SourceOptions, fingerprint_of_files

if TYPE_CHECKING:  # Pillow is not needed to list sources
    from tenfold.data.images.decoding import EncodedImage

_READING = 3
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
    is_of_image_files = True
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
            fingerprint_of_files(
                root, [Path(str(listed.files[row])) for row in np.flatnonzero(part).tolist()]
            )
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
        root = _given(path)
        return read_arranged(
            read_layout(root),
            options,
            progress,
            source=self.name,
            location=str(root),
            title=root.resolve().name,
            place="a folder",
        )


SOURCE: Source = FolderSource()


def _given(path: Path | None) -> Path:
    if path is None:
        raise DataError(
            f"The source 'folder' needs a path: tenfold run --data PATH. Expected "
            f"{'; or '.join(LAYOUTS)}."
        )
    return path


def read_arranged(
    layout: FolderLayout,
    options: SourceOptions,
    progress: Progress,
    *,
    source: str,
    location: str,
    title: str,
    place: str,
) -> ImageDataset:
    """Decode the images of a tree and split them, as `FolderSource.load` does.

    Parameters
    ----------
    source, location, title
        As the data set says them.
    place
        What the tree lies in, for the description: ``a folder``.

    Raises
    ------
    DataError
        As `FolderSource.load`.
    """
    if options.is_strict and layout.left_out:
        first = layout.left_out[0]
        raise DataError(f"{first.path} cannot be read: {first.reason}.")
    root = Path(location)
    listed = label_files(layout)
    found = read_labelled_files(
        listed,
        options,
        progress,
        usable_classes=partial(usable_classes, root, layout, listed),
        has_test=layout.test is not None,
        root=location,
    )
    if not len(found.test):
        raise DataError(_no_test_images(root, layout))
    return found.dataset(
        progress,
        source=source,
        location=location,
        title=title,
        description=f"{found.count:,} images from {place}, one sub-folder a class.",
        split_note=_split_note(layout, options, found),
        left_out=layout.left_out,
        notes=(*layout.notes, *_unused_classes(layout, listed, found.is_used)),
    )


def _split_note(layout: FolderLayout, options: SourceOptions, found: ReadFiles) -> str:
    if layout.test is None:
        return found.arranged.drawn(options, "")
    train, validation, test = found.counts
    parts = [
        f"{layout.named('train')} for training ({counted(train, 'image')})",
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
    layout: FolderLayout, listed: LabelledFiles[EncodedImage], is_used: npt.NDArray[np.bool_]
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


def label_files(layout: FolderLayout) -> LabelledFiles[EncodedImage]:
    """List a layout's files with their labels; a class has one label in all splits."""
    splits = (layout.train, layout.validation, layout.test or {})
    names = tuple(sorted(set().union(*splits), key=natural_key))
    files: list[EncodedImage] = []
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
    root: Path,
    layout: FolderLayout,
    listed: LabelledFiles[EncodedImage],
    chosen: npt.NDArray[np.bool_],
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


def _chosen_names(names: tuple[str, ...], chosen: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, is_chosen in zip(names, chosen.tolist(), strict=True) if is_chosen)
