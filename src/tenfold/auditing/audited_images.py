"""All images of a study in one numbering: the training split, then the test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.data.corrections import image_id
from tenfold.data.dataset import Images, ImageSplit, Labels, kept_places, read_split
from tenfold.data.pixel_agreement import ImagePairs, Indices


@dataclass(frozen=True)
class AuditedImages:
    """Both splits, with the study's corrections applied.

    Parameters
    ----------
    train, test
        The splits.
    train_places, test_places
        int64: place of each image in the split as the source gave it.
    """

    train: ImageSplit
    test: ImageSplit
    train_places: Indices
    test_places: Indices

    @classmethod
    def read(cls, acquire_folder: Path) -> AuditedImages:
        """Read both splits of a study."""
        train, test = read_split(acquire_folder, "train"), read_split(acquire_folder, "test")
        train_places = kept_places(acquire_folder, "train")
        test_places = kept_places(acquire_folder, "test")
        return cls(
            train,
            test,
            np.arange(len(train)) if train_places is None else train_places,
            np.arange(len(test)) if test_places is None else test_places,
        )

    def __len__(self) -> int:
        return len(self.train) + len(self.test)

    @cached_property
    def labels(self) -> Labels:
        """Labels of all images, shape (N,)."""
        return np.concatenate([self.train.labels, self.test.labels])

    def is_test(self, numbers: Indices) -> npt.NDArray[np.bool_]:
        """Say of each image by its number whether it is in the test split."""
        result: npt.NDArray[np.bool_] = numbers >= len(self.train)
        return result

    def is_leak(self, pairs: ImagePairs) -> npt.NDArray[np.bool_]:
        """Say of each test image whether it is in a pair with a training image; shape (M,)."""
        across = self.is_test(pairs.second) & ~self.is_test(pairs.first)
        result = np.zeros(len(self.test), bool)
        result[pairs.second[across] - len(self.train)] = True
        return result

    def id_at(self, number: int) -> str:
        """Give an image's identifier by its number."""
        if number < len(self.train):
            return image_id("train", int(self.train_places[number]))
        return image_id("test", int(self.test_places[number - len(self.train)]))

    def place(self, name: str) -> int:
        """Give an image's number by its identifier."""
        split, _, place = name.partition("/")
        if split == "train":
            return int(np.searchsorted(self.train_places, int(place)))
        return len(self.train) + int(np.searchsorted(self.test_places, int(place)))

    def pixels(self, numbers: Sequence[int]) -> Images:
        """Give some images, shape (len(numbers), H, W, C)."""
        result = np.empty((len(numbers), *self.train.images.shape[1:]), np.uint8)
        for row, number in enumerate(numbers):
            is_train = number < len(self.train)
            result[row] = (
                self.train.images[number]
                if is_train
                else self.test.images[number - len(self.train)]
            )
        return result
