"""Heat maps and similar training images by torch, which predicting does not need."""

from __future__ import annotations

import base64
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.explanation import Explainer
from tenfold.explanation_page import png
from tenfold.reporting.heat_overlay import heat_overlay

Pixels = npt.NDArray[np.uint8]


class TorchExplainer:
    """Explains by the packaged model itself.

    Parameters
    ----------
    explainer
        Of the model that is served.
    classes
        Names by index.
    """

    def __init__(self, explainer: Explainer, classes: tuple[str, ...]) -> None:
        self._explainer = explainer
        self._classes = classes
        self._lock = threading.Lock()  # it hooks into the network's layers

    def explain(self, pixels: Pixels, predicted: int) -> dict[str, Any]:
        """Give what the page shows; see `tenfold.serving.image_explainer.ImageExplainer`."""
        with self._lock:
            (explanation,) = self._explainer.explain(pixels[None], np.array([predicted]))
        heat = explanation.heat
        return {
            "seen": _picture(pixels),
            "heat": None if heat is None else _picture(heat_overlay(pixels, heat)),
            "neighbours": [
                {
                    "class": self._classes[one.label],
                    "similarity": round(one.similarity, 4),
                    "picture": _picture(one.thumbnail),
                }
                for one in explanation.neighbours
            ],
        }


def _picture(pixels: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")
