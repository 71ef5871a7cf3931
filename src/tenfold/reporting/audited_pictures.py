"""The images that the audit shows, by their identifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class AuditedPictures:
    """Images of both splits.

    Parameters
    ----------
    ids
        str, shape (N,), in ascending order; see `tenfold.core.records.data.LabelIssue`.
    images
        uint8, shape (N, H, W, C).
    """

    ids: npt.NDArray[np.str_]
    images: Pixels

    def at(self, names: Sequence[str]) -> Pixels:
        """Give the images with these identifiers."""
        found: Pixels = self.images[np.searchsorted(self.ids, np.array(names, dtype=str))]
        return found
