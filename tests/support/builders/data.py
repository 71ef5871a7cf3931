"""Plausible records of the acquire and the explore stage."""

from __future__ import annotations

from tenfold.core.records.data import AcquireRecord, ClassStatistics, ExploreRecord, LeftOutImage
from tenfold.data.sources.cifar10_formats import CLASSES as CIFAR10_CLASSES

__all__ = ["CIFAR10_CLASSES", "acquire_record", "explore_record"]


def acquire_record(
    classes: tuple[str, ...],
    *,
    train_counts: tuple[int, ...] | None = None,
    test_counts: tuple[int, ...] | None = None,
    title: str = "CIFAR-10",
    size_px: int = 32,
    channels: int = 3,
    left_out: tuple[LeftOutImage, ...] = (),
) -> AcquireRecord:
    """Give an acquire record; by default 5,000 training and 1,000 test images a class."""
    return AcquireRecord(
        source="cifar10",
        location="data/cifar-10-batches-bin",
        title=title,
        description="Small colour photographs of animals and vehicles, collected by Krizhevsky, "
        "Nair and Hinton (2009).",
        classes=classes,
        image_size_px=(size_px, size_px),
        channels=channels,
        train_counts=train_counts or (5000,) * len(classes),
        test_counts=test_counts or (1000,) * len(classes),
        split_note="The test split is the official one.",
        mirror_keeps_class=True,
        resized=0,
        left_out=left_out,
        notes=("About 3% of the test images have a near-duplicate among the training images.",),
        train_sha256="a1" * 32,
        test_sha256="b2" * 32,
    )


def explore_record(
    classes: tuple[str, ...],
    means: tuple[float, ...],
    deviations: tuple[float, ...],
    *,
    count: int = 5000,
    gray: bool = False,
) -> ExploreRecord:
    """Give an explore record with these statistics of the classes."""
    return ExploreRecord(
        classes=tuple(
            ClassStatistics(name=name, count=count, mean=mean, standard_deviation=deviation)
            for name, mean, deviation in zip(classes, means, deviations, strict=True)
        ),
        channel_names=("gray",) if gray else ("red", "green", "blue"),
        channel_means=(0.3053,) if gray else (0.49140, 0.48216, 0.44653),
        channel_standard_deviations=(0.376,) if gray else (0.24703, 0.24349, 0.26159),
        augmentation="report",
        augmentation_description="Rotation up to ±20 degrees, shifts up to ±20% of width and "
        "height, horizontal flip, zoom 0.8 to 1.2 for each axis, shear up to ±0.15 degrees.",
        seconds=0.8,
    )
