"""Which classes of a folder can be used, and the two splits made of its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.text import shortlist
from tenfold.data.dataset import Images, ImageSplit, Labels
from tenfold.data.duplicate_groups import exact_groups, regrouped
from tenfold.data.splits import stratified_split
from tenfold.sources.folder_layout import LAYOUTS, FolderLayout
from tenfold.sources.folder_scan import natural_key
from tenfold.sources.row_order import reorder_rows
from tenfold.sources.source import SourceOptions
from tenfold.sources.split_names import Role


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
) -> tuple[ImageSplit, ImageSplit, npt.NDArray[np.bool_]]:
    """Give both splits in a random order, as views of `images`, whose rows are reordered.

    Labels are those of `listed`. The third array says which training images are given to validate
    by, shape (training images,).
    """
    rng = np.random.default_rng(options.seed)
    rows = np.flatnonzero(is_read)
    if has_test:
        train = rng.permutation(rows[~listed.is_test[rows]])
        test = rng.permutation(rows[listed.is_test[rows]])
    else:
        groups = regrouped(exact_groups(images), rows)
        train, test = (
            rows[part]
            for part in stratified_split(listed.labels[rows], options.test_fraction, rng, groups)
        )
    reorder_rows(images, np.concatenate([train, test, np.flatnonzero(~is_read)]))
    end = len(train) + len(test)
    return (
        ImageSplit(images[: len(train)], listed.labels[train]),
        ImageSplit(images[len(train) : end], listed.labels[test]),
        listed.is_validation[train],
    )


def without_unused_labels(split: ImageSplit, is_used: npt.NDArray[np.bool_]) -> ImageSplit:
    """Count a split's labels among the used classes alone."""
    return ImageSplit(split.images, (np.cumsum(is_used) - 1)[split.labels].astype(np.int64))


def _chosen_names(names: tuple[str, ...], chosen: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, is_chosen in zip(names, chosen.tolist(), strict=True) if is_chosen)
