"""The most confident mistakes explained, as the evaluate stage left them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class ExplainedMistakes:
    """For each of the gallery's mistakes; see `tenfold.explaining.explained_mistakes`.

    Parameters
    ----------
    heats
        uint8, shape (N, H, W); no rows if the network has no maps.
    neighbour_labels
        int64, shape (N, M).
    neighbour_images
        uint8, shape (N, M, h, w, C).
    """

    heats: npt.NDArray[np.uint8]
    neighbour_labels: npt.NDArray[np.int64]
    neighbour_images: npt.NDArray[np.uint8]
