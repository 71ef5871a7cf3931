"""Some training images as features and thumbnails: what a new image is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tenfold.core.errors import ModelFolderError
from tenfold.data.dataset import Images, Labels
from tenfold.data.images.pillow import resize_images

MOST_BYTES = 24 * 2**20
"""Of an index: 5,000 images of 32 × 32 px with 512 features fit."""
_THUMBNAIL_PX = 64

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NeighbourIndex:
    """Training images in the feature space of a network.

    Parameters
    ----------
    mean
        float32, shape (dimensions,): of the features of the images in the index.
    features
        float16, shape (N, dimensions), less the mean, each row of length 1.
    labels
        int64, shape (N,).
    places
        int64, shape (N,): places in the training split.
    thumbnails
        uint8, shape (N, h, w, C); the images themselves where they are small.
    """

    mean: npt.NDArray[np.float32]
    features: npt.NDArray[np.float16]
    labels: Labels
    places: npt.NDArray[np.int64]
    thumbnails: Images

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def build(
        cls, features: Features, images: Images, labels: Labels, places: npt.NDArray[np.int64]
    ) -> NeighbourIndex:
        """Make an index.

        Parameters
        ----------
        features
            Of the images, see `tenfold.training.inference`.
        images, labels, places
            Of the training split.
        """
        mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(
            mean, _unit(features - mean).astype(np.float16), labels, places, thumbnails_of(images)
        )

    def nearest(
        self, features: Features, count: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Find the most similar images of the index.

        Parameters
        ----------
        features
            Of the queries, float32, shape (M, dimensions).
        count
            Of each; fewer where the index is smaller.

        Returns
        -------
        rows
            int64, shape (M, count): rows of the index, the most similar first.
        similarities
            float32, of the same shape: cosines, 1 for the same direction.
        """
        similarities = _unit(features - self.mean) @ self.features.astype(np.float32).T
        rows = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
        return rows, np.take_along_axis(similarities, rows, axis=1)

    def to_bytes(self) -> bytes:
        """Give the index as a safetensors file."""
        arrays = {
            "mean": self.mean,
            "features": self.features,
            "labels": self.labels,
            "places": self.places,
            "thumbnails": self.thumbnails,
        }
        return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})

    @classmethod
    def from_bytes(cls, content: bytes, class_count: int) -> NeighbourIndex:
        """Read an index.

        Raises
        ------
        ModelFolderError
            If it is none, or its arrays do not fit each other or the classes.
        """
        try:
            arrays: dict[str, Any] = load(content)
            index = cls(**arrays)
            index._check(class_count)
        except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelFolderError(
                f"The model's index of training images cannot be used ({error}). Make the model "
                "folder again with: tenfold model --out RUN_FOLDER"
            ) from error
        return index

    def _check(self, class_count: int) -> None:
        count, dimensions = self.features.shape
        expected: dict[str, tuple[npt.NDArray[Any], type, tuple[int, ...]]] = {
            "mean": (self.mean, np.float32, (dimensions,)),
            "features": (self.features, np.float16, (count, dimensions)),
            "labels": (self.labels, np.int64, (count,)),
            "places": (self.places, np.int64, (count,)),
            "thumbnails": (self.thumbnails, np.uint8, (count, *self.thumbnails.shape[1:])),
        }
        for name, (array, kind, shape) in expected.items():
            if array.dtype != kind or array.shape != shape:
                raise ValueError(f"{name} is {array.dtype} {array.shape}")
        if self.thumbnails.ndim != 4 or self.thumbnails.shape[3] not in (1, 3):
            raise ValueError(f"thumbnails are {self.thumbnails.shape}")
        if count and not (self.labels.min() >= 0 and self.labels.max() < class_count):
            raise ValueError("a label is no class")


def images_that_fit(image_shape: tuple[int, int, int], dimensions: int, wanted: int) -> int:
    """Give how many of the wanted images an index may hold so that it stays small."""
    height, width, channels = image_shape
    side = min(max(height, width), _THUMBNAIL_PX)
    return min(wanted, MOST_BYTES // (side * side * channels + 2 * dimensions + 16))


def thumbnails_of(images: Images) -> Images:
    """Give images scaled to 64 × 64 px where they are larger, else themselves."""
    if max(images.shape[1:3]) <= _THUMBNAIL_PX:
        return images
    return resize_images(images, _THUMBNAIL_PX)


def _unit(vectors: Features) -> Features:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 1e-12, length, np.inf)).astype(np.float32)
