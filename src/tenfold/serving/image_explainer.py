"""What the page asks for beyond probabilities."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class ImageExplainer(Protocol):
    """Explains one image at a time."""

    def explain(self, pixels: Pixels, predicted: int) -> dict[str, Any]:
        """Give ``seen``, ``heat`` and ``neighbours`` of `ExplainAnswer` (api_records.py).

        Called in threads.
        """
