"""Which test images a reader should look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.metrics.classification import confusion_matrix

Indices = npt.NDArray[np.int64]

_SHOWN = 24
_PAIRS = 5
_IMAGES_A_PAIR = 9


@dataclass(frozen=True, eq=False)
class Gallery:
    """Indices of test images worth a look.

    Parameters
    ----------
    mistakes
        Wrongly predicted, the most confident first.
    uncertain
        With the lowest probability of the predicted class, the lowest first.
    pairs
        Most frequent confusions, shape (P, 2): true class, predicted class.
    pair_images
        Images of each confusion, the most confident first, shape (P, 9); -1 where there are fewer.
    """

    mistakes: Indices
    uncertain: Indices
    pairs: Indices
    pair_images: Indices

    def shown(self) -> Indices:
        """Give every image that occurs, once, in ascending order."""
        everything = np.concatenate([self.mistakes, self.uncertain, self.pair_images.ravel()])
        return np.unique(everything[everything >= 0])


def choose_gallery(
    probabilities: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.int64]
) -> Gallery:
    """Choose the most confident mistakes, the least certain images and the most confused pairs.

    Parameters
    ----------
    probabilities
        Shape (N, K).
    labels
        True classes, shape (N,).
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    by_confidence = np.argsort(-confidence, kind="stable")
    wrong = by_confidence[(predicted != labels)[by_confidence]]
    confusion = confusion_matrix(labels, predicted, probabilities.shape[1])
    np.fill_diagonal(confusion, 0)
    most = np.argsort(-confusion.ravel(), kind="stable")[:_PAIRS]
    pairs = np.array(
        [divmod(int(place), len(confusion)) for place in most if confusion.ravel()[place] > 0],
        dtype=np.int64,
    ).reshape(-1, 2)
    pair_images = np.full((len(pairs), _IMAGES_A_PAIR), -1, dtype=np.int64)
    for row, (true, other) in enumerate(pairs):
        members = wrong[(labels[wrong] == true) & (predicted[wrong] == other)][:_IMAGES_A_PAIR]
        pair_images[row, : len(members)] = members
    return Gallery(
        mistakes=wrong[:_SHOWN],
        uncertain=np.argsort(confidence, kind="stable")[:_SHOWN],
        pairs=pairs,
        pair_images=pair_images,
    )
