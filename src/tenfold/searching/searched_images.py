"""The images of a search: those that trials train on, and those that score them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenfold.core.records.data import AcquireRecord
from tenfold.data.dataset import ImageSplit, read_groups, read_split, read_validation
from tenfold.data.splits import possible_holdout
from tenfold.recipe import StudySettings


@dataclass(frozen=True)
class SearchedImages:
    """The training split alone, in two parts.

    Parameters
    ----------
    train, validation
        The images to fit to, and those that score a training.
    acquired
        What is known of them.
    """

    train: ImageSplit
    validation: ImageSplit
    acquired: AcquireRecord

    @classmethod
    def read(cls, acquire: Path, settings: StudySettings) -> SearchedImages:
        """Read them from the folder of the acquire stage; see `possible_holdout`."""
        acquired = AcquireRecord.read(acquire / "record.json")
        split = read_split(acquire, "train")
        train, validation, _ = possible_holdout(
            split.labels,
            fraction=settings.tune.validation_fraction,
            method=settings.tune.validation_method,
            seed=settings.seed,
            classes=acquired.classes,
            groups=read_groups(acquire),
            given=read_validation(acquire),
        )
        return cls(split.take(train), split.take(validation), acquired)
