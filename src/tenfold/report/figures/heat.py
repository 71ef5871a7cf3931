"""A heat map over an image: for figures, and for pages that need no Matplotlib."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_STOPS = np.array([[86, 0, 120], [200, 30, 90], [245, 120, 30], [255, 235, 110]], dtype=np.float64)
"""Red, green and blue from no heat to the most: growing in brightness, so readable without colour
vision and on light and dark pages."""
_STRONGEST = 0.75
"""Opacity of the most heat: the image stays visible below it."""


def heat_overlay(
    image: npt.NDArray[np.uint8], heat: npt.NDArray[np.floating]
) -> npt.NDArray[np.uint8]:
    """Give the image in gray with the heat map in colour over it.

    Parameters
    ----------
    image
        uint8, shape (H, W, C), C 1 or 3.
    heat
        From 0 to 1, shape (H, W).

    Returns
    -------
    uint8, shape (H, W, 3).
    """
    gray = image[..., :1] if image.shape[2] == 1 else (image @ _LUMA)[..., None]
    places = np.clip(heat, 0, 1).astype(np.float64)
    stops = np.linspace(0, 1, len(_STOPS))
    colours = np.stack([np.interp(places, stops, _STOPS[:, one]) for one in range(3)], axis=-1)
    opacity = _STRONGEST * places[..., None]
    mixed: npt.NDArray[np.float64] = np.round(gray * (1 - opacity) + colours * opacity)
    return mixed.astype(np.uint8)
