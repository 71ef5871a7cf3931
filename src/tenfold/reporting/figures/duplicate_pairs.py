"""Pairs of near-duplicates, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from tenfold.reporting.figures.canvas import WIDTH_PX, Palette, new_figure
from tenfold.reporting.figures.image_grids import blank_axes, strip
from tenfold.reporting.formats import shorten

Pixels = npt.NDArray[np.uint8]

_COLUMNS = 4
_PAIR_PX = WIDTH_PX / _COLUMNS
_SIDE_PX = 76.0
_TEXT_PX = 9.5
_LINE_PX = 13.0
_CHARACTERS = 27
"""Of `_TEXT_PX` that fit below a pair in the wide font that the layout is measured with."""


def draw_duplicate_pairs(
    first: Pixels, second: Pixels, captions: Sequence[tuple[str, ...]], palette: Palette
) -> Figure:
    """Draw four pairs a row, each with short lines below it.

    Parameters
    ----------
    first, second
        uint8, shape (N, H, W, C): the images of each pair.
    captions
        Lines of a pair, as many for each.
    """
    rows = -(-len(first) // _COLUMNS)
    height_px = _SIDE_PX * first.shape[1] / first.shape[2]
    row_px = height_px + len(captions[0]) * _LINE_PX + 16
    figure = new_figure(rows * row_px)
    figure.set_layout_engine("none")
    axes = blank_axes(figure, rows * row_px)
    for place, (one, other, lines) in enumerate(zip(first, second, captions, strict=True)):
        left = (place % _COLUMNS) * _PAIR_PX
        top = (place // _COLUMNS) * row_px
        strip(
            axes,
            np.stack([one, other]),
            left=left,
            top=top,
            side_px=_SIDE_PX,
            height_px=height_px,
        )
        for number, line in enumerate(lines):
            axes.text(
                left,
                top + height_px + (number + 0.75) * _LINE_PX,
                shorten(line, _CHARACTERS),
                fontsize=_TEXT_PX,
                va="center",
                color=palette.ink if number == 0 else palette.muted,
            )
    return figure
