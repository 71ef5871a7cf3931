"""Heat maps and similar training images by torch, which predicting does not need."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from tenfold.explanation import Explainer
from tenfold.explanation_page import png
from tenfold.report.figures.canvas import heat_overlay
from tenfold.serving.batching import Pixels


def explain_image(
    explainer: Explainer, classes: tuple[str, ...], pixels: Pixels, predicted: int
) -> dict[str, Any]:
    """Give ``seen``, ``heat`` and ``neighbours`` of `tenfold.serving.api_records.ExplainAnswer`.

    One image at a time, for it hooks into the network's layers.
    """
    (explanation,) = explainer.explain(pixels[None], np.array([predicted]))
    heat = explanation.heat
    return {
        "seen": _picture(pixels),
        "heat": None if heat is None else _picture(heat_overlay(pixels, heat)),
        "neighbours": [
            {
                "class": classes[one.label],
                "similarity": round(one.similarity, 4),
                "picture": _picture(one.thumbnail),
            }
            for one in explanation.neighbours
        ],
    }


def _picture(pixels: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")
