"""A labelled image data set in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.core.records.data import LeftOutImage, ValueRanges
from tenfold.core.text import readable_values

Images = npt.NDArray[np.uint8]
"""Shape (N, H, W, C), values 0 to 255; C is 1 (gray) or 3 (red, green, blue)."""
Labels = npt.NDArray[np.int64]
"""Shape (N,), each an index into the data set's classes."""


@dataclass(frozen=True)
class ImageSplit:
    """Images and their labels.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C), values 0 to 255.
    labels
        int64, shape (N,).
    """

    images: Images
    labels: Labels

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8
        assert self.images.ndim == 4
        assert self.labels.dtype == np.int64
        assert self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Give height, width and channels."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> ImageSplit:
        """Give some rows as a split of their own (a copy)."""
        images: Images = self.images[rows]
        return ImageSplit(images, self.labels[rows])

    def counts(self, class_count: int) -> tuple[int, ...]:
        """Give the number of images of each class."""
        return tuple(np.bincount(self.labels, minlength=class_count).tolist())

    def sha256(self) -> str:
        """Give the SHA-256 over shape, pixels and labels."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class ImageDataset:
    """A labelled image data set with a training and a test split.

    Parameters
    ----------
    source
        Name of the source that gave it.
    location
        Where the files were read from.
    title, description
        For people.
    classes
        Class names; a label is an index into them. The same for both splits: a class that a split
        lacks does not shift the others.
    train, test
        The two splits, of one image shape.
    split_note
        How the test split came about.
    resized
        How many images had another size.
    left_out
        Images that could not be read.
    notes
        Sentences that a reader of the report should know.
    is_validation
        bool, shape (training images,): which of them the data set itself sets aside to validate
        by; None if it does not.
    value_ranges
        What files of more than 8 bits were scaled by.
    """

    source: str
    location: str
    title: str
    description: str
    classes: tuple[str, ...]
    train: ImageSplit
    test: ImageSplit
    split_note: str
    resized: int = 0
    left_out: tuple[LeftOutImage, ...] = ()
    notes: tuple[str, ...] = field(default=())
    is_validation: npt.NDArray[np.bool_] | None = None
    value_ranges: ValueRanges = field(default_factory=ValueRanges)

    def __post_init__(self) -> None:
        # Names come from file systems, and from here on they are stored.
        for name in ("location", "title", "description", "classes", "split_note", "notes"):
            object.__setattr__(self, name, readable_values(getattr(self, name)))
        left_out = (LeftOutImage(**readable_values(left.model_dump())) for left in self.left_out)
        object.__setattr__(self, "left_out", tuple(left_out))
        if len(self.classes) < 2:
            raise DataError(
                f"{self.location} holds one class only ({', '.join(self.classes) or 'none'}). "
                "A classifier needs images of at least two classes."
            )
        assert self.train.images.shape[1:] == self.test.images.shape[1:]
        assert self.is_validation is None or self.is_validation.shape == self.train.labels.shape
