"""The test images that the page shows, as the evaluate stage chose them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class EvaluatedImages:
    """Images of the test split worth a look; see `tenfold.evaluation.scores.Gallery`.

    Parameters
    ----------
    mistakes, uncertain
        Indices in the test split, in the order to show them in.
    pairs
        Shape (P, 2): true class, predicted class.
    pair_images
        Indices, shape (P, M), -1 where there are fewer.
    shown
        Indices of `images`, ascending.
    images
        uint8, shape (S, H, W, C).
    """

    mistakes: Indices
    uncertain: Indices
    pairs: Indices
    pair_images: Indices
    shown: Indices
    images: Pixels

    def at(self, indices: Indices) -> Pixels:
        """Give the images with these places in the test split."""
        found: Pixels = self.images[np.searchsorted(self.shown, indices)]
        return found
