"""The images of a search: those that trials train on, and those that score them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenfold.core.records.acquire import AcquireRecord
from tenfold.data.dataset import ImageSplit
from tenfold.data.split_files import read_groups, read_split, read_validation
from tenfold.data.splits import HoldoutMethod, possible_holdout


@dataclass(frozen=True)
class SearchedImages:
    """The training split alone, in two parts.

    Parameters
    ----------
    train, validation
        The images to fit to, and those that score a training.
    image_shape
        Height, width and channels.
    class_count
        Number of classes.
    mirror_keeps_class
        Whether augmentation may flip.
    """

    train: ImageSplit
    validation: ImageSplit
    image_shape: tuple[int, int, int]
    class_count: int
    mirror_keeps_class: bool

    @classmethod
    def read(
        cls, acquire: Path, *, fraction: float, method: HoldoutMethod, seed: int
    ) -> SearchedImages:
        """Read them from the folder of the acquire stage; see `possible_holdout`."""
        acquired = AcquireRecord.read(acquire / "record.json")
        split = read_split(acquire, "train")
        train, validation, _ = possible_holdout(
            split.labels,
            fraction=fraction,
            method=method,
            seed=seed,
            classes=acquired.classes,
            groups=read_groups(acquire),
            given=read_validation(acquire),
        )
        return cls(
            train=split.take(train),
            validation=split.take(validation),
            image_shape=acquired.image_shape,
            class_count=len(acquired.classes),
            mirror_keeps_class=acquired.mirror_keeps_class,
        )
