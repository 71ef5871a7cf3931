"""Explain what a finished model says of an image.

::

    packaged = read_model_folder(path)
    classifier = classifier_of(packaged)
    explainer = Explainer.of(classifier, packaged)
    for explanation in explainer.explain(pixels, classes):
        explanation.heat            # (H, W), 0 to 1, or None: which places speak for the class
        explanation.neighbours      # the training images that the network finds most alike
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenfold.classifier import ImageClassifier
from tenfold.data.dataset import Images
from tenfold.evaluation.explanations import (
    NeighbourIndex,
    SpatialLayer,
    find_spatial_layer,
    heat_maps,
)
from tenfold.training.device import Device, choose_device
from tenfold.training.inference import features_and_logits
from tenfold.training.model_folder import PackagedModel

NEIGHBOURS = 4
"""Training images shown beside an image."""


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A training image.

    Parameters
    ----------
    label
        Its class, an index.
    similarity
        Cosine between its features and the image's, from -1 to 1.
    place
        In the training split.
    thumbnail
        uint8, shape (h, w, C).
    """

    label: int
    similarity: float
    place: int
    thumbnail: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What speaks for a class, and what the image resembles.

    Parameters
    ----------
    heat
        float32, shape (H, W), from 0 to 1; None if the network has no maps.
    neighbours
        The most similar first; empty if the model folder holds no training images.
    """

    heat: npt.NDArray[np.float32] | None
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, eq=False)
class Explainer:
    """Explains images to one model.

    Parameters
    ----------
    classifier
        The model.
    device
        Where to compute.
    layer
        Whose map is shown; None if there is none.
    index
        Training images; None if the model folder has none.
    """

    classifier: ImageClassifier
    device: Device
    layer: SpatialLayer | None
    index: NeighbourIndex | None

    @classmethod
    def of(cls, classifier: ImageClassifier, packaged: PackagedModel) -> Explainer:
        """Make an explainer of a model that was read from its folder.

        Raises
        ------
        ModelFolderError
            If the folder's training images cannot be used.
        """
        device = choose_device(classifier.device)
        network = classifier.network_.to(device.torch_device)
        content = packaged.neighbours
        return cls(
            classifier,
            device,
            find_spatial_layer(network, packaged.record.image_shape),
            None
            if content is None
            else NeighbourIndex.from_bytes(content, len(packaged.record.classes)),
        )

    def explain(self, images: Images, classes: npt.NDArray[np.int64]) -> list[Explanation]:
        """Explain images of the model's shape.

        Parameters
        ----------
        images
            uint8, shape (N, H, W, C).
        classes
            int64, shape (N,): the class that each heat map is about, commonly the predicted one.
        """
        network = self.classifier.network_.to(self.device.torch_device)
        if self.layer is None:
            heats: list[npt.NDArray[np.float32] | None] = [None] * len(images)
        else:
            heats = list(heat_maps(network, images, classes, device=self.device, layer=self.layer))
        if self.index is None:
            return [Explanation(heat, ()) for heat in heats]
        features, _ = features_and_logits(
            network,
            images,
            device=self.device,
            precision=self.device.precision(self.classifier.model_record_.precision),
        )
        rows, similarities = self.index.nearest(features, NEIGHBOURS)
        return [
            Explanation(
                heat,
                tuple(
                    self._neighbour(self.index, int(row), float(similarity))
                    for row, similarity in zip(near, alike, strict=True)
                ),
            )
            for heat, near, alike in zip(heats, rows, similarities, strict=True)
        ]

    @staticmethod
    def _neighbour(index: NeighbourIndex, row: int, similarity: float) -> Neighbour:
        return Neighbour(
            int(index.labels[row]), similarity, int(index.places[row]), index.thumbnails[row]
        )
