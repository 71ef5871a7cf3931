"""CIFAR-100: 60,000 colour images of a hundred classes, from a local copy.

Layout: https://www.cs.toronto.edu/~kriz/cifar.html, section "The CIFAR-100 dataset". The fine
labels are the classes; the twenty coarse ones, which group them, are not used.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path, PurePosixPath

from tenfold.core.errors import DataError
from tenfold.core.progress import Progress
from tenfold.data.archives import TarMember
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.cifar10_files import (
    find_folder,
    fingerprint_of_version,
    is_archive,
    official_dataset,
    read_version,
)
from tenfold.data.sources.cifar10_formats import (
    CifarArrays,
    CifarFormat,
    CifarLabels,
    check_binary_batch_size,
    check_python_batch_size,
    parse_binary_batch,
    parse_binary_classes,
    parse_python_batch,
    parse_python_classes,
)
from tenfold.data.sources.source import Source, SourceOptions

RECORDS = (50_000, 10_000)
"""Images of the training and the test file."""

# fmt: off
CLASSES: tuple[str, ...] = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
    "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
    "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
    "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy",
    "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal",
    "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar",
    "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm",
)
# fmt: on
LABELS = CifarLabels("CIFAR-100", len(CLASSES), 2, "fine_labels", "fine_label_names")
BINARY = CifarFormat(
    title="the binary version",
    folder_name="cifar-100-binary",
    archive_name="cifar-100-binary.tar.gz",
    batch_files=("train.bin", "test.bin"),
    meta_file="fine_label_names.txt",
    check_size=partial(check_binary_batch_size, of=LABELS),
    parse_batch=partial(parse_binary_batch, of=LABELS),
    parse_classes=partial(parse_binary_classes, of=LABELS),
    labels=LABELS,
    other_files=("coarse_label_names.txt", "file.txt~"),
    least_files=2,
)
PYTHON = CifarFormat(
    title="the Python version",
    folder_name="cifar-100-python",
    archive_name="cifar-100-python.tar.gz",
    batch_files=("train", "test"),
    meta_file="meta",
    check_size=partial(check_python_batch_size, of=LABELS),
    parse_batch=partial(parse_python_batch, of=LABELS),
    parse_classes=partial(parse_python_classes, of=LABELS),
    labels=LABELS,
    other_files=("file.txt~",),
    least_files=2,
)
FORMATS = (BINARY, PYTHON)
_NAMES = re.compile("cifar-?100")


class Cifar100Source:
    """CIFAR-100 from a folder or archive of either published version.

    Sizes and labels are checked, checksums are not: some copies differ for good reasons.

    Parameters
    ----------
    records
        Images of the training and of the test file.
    """

    name = "cifar100"
    needs_path = True
    summary = "CIFAR-100: 60,000 colour images of 100 classes, 32 × 32 px; a local copy"

    def __init__(self, records: tuple[int, int] = RECORDS) -> None:
        self.records = records

    def recognises(self, path: Path) -> bool:
        """Say whether `path` is a folder or archive of CIFAR-100, or a folder that holds one."""
        return _find(path) is not None

    def available(self) -> str | None:
        """Say no: a folder or archive must be named."""
        return None

    def fingerprint(self, path: Path | None) -> str:
        """Give a digest of the files' names, sizes and times."""
        return fingerprint_of_version(_found(path), FORMATS)

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Read the official splits; another `image_size_px` than 32 resizes all images.

        Raises
        ------
        DataError
            If files are missing, cut off, too long, damaged or not CIFAR-100.
        UnsafePickleError
            If a file of the Python version asks for more than plain arrays.
        """
        arrays = CifarArrays(self.records, CLASSES)
        place, notes = read_version(_found(path), arrays, progress, FORMATS)
        return official_dataset(
            arrays,
            options.image_size_px,
            source=self.name,
            location=place,
            title="CIFAR-100",
            content="a hundred kinds of animals, plants and things",
            notes=(
                "10% of the test images have a near-duplicate in the training set "
                "(Barz and Denzler, 2020, Do We Train on Test Data?, arXiv 1902.00423).",
                *notes,
            ),
        )


SOURCE: Source = Cifar100Source()


def _find(path: Path) -> Path | None:
    """Give the folder with the files, or the archive, that `path` is or holds; None if none."""
    try:
        if path.is_file():
            return path if is_archive(path, _NAMES, _is_member) else None
        if (version := find_folder(path, FORMATS)) is not None:
            return version[1]
        archives = (path / form.archive_name for form in FORMATS)
        return next((archive for archive in archives if archive.is_file()), None)
    except OSError:  # No permission, a name too long.
        return None


def _is_member(member: TarMember) -> bool:
    """Say whether a member lies in a published folder: ``train`` alone is a name of any file."""
    return PurePosixPath(member.name).parent.name in {form.folder_name for form in FORMATS}


def _found(path: Path | None) -> Path:
    expected = (
        f"Expected a folder with {', '.join((*BINARY.batch_files, BINARY.meta_file))} (the binary "
        f"version) or {', '.join((*PYTHON.batch_files, PYTHON.meta_file))} (the Python version), "
        f"or {BINARY.archive_name} or {PYTHON.archive_name}"
    )
    if path is None:
        raise DataError(
            "The source 'cifar100' needs a path: tenfold run --data PATH. Fetch it from "
            f"https://www.cs.toronto.edu/~kriz/cifar.html. {expected}."
        )
    found = _find(path)
    if found is None:
        is_there = os.path.exists(path)  # Unlike Path.exists, never raises.
        what = "holds no CIFAR-100" if is_there else "does not exist or may not be read"
        raise DataError(f"{path} {what}. {expected}.")
    return found
