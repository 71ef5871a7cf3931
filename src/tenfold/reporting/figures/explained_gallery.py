"""Mistakes with what speaks for them: heat map and the most similar training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tenfold.reporting.figures.canvas import WIDTH_PX, Palette, new_figure
from tenfold.reporting.figures.image_grids import blank_axes
from tenfold.reporting.formats import shorten
from tenfold.reporting.heat_overlay import heat_overlay

Pixels = npt.NDArray[np.uint8]

_COLUMNS = 2
_COLUMN_PX = (WIDTH_PX + 16) / _COLUMNS
_SIDE_PX = 58.0
_GAP_PX = 4.0
_TEXT_WIDTH_PX = 84.0
_TEXT_PX = 9.5
_LINE_PX = 13.5
_CHARACTERS = 13
_NEIGHBOUR_PX = 44.0
_LABEL_PX = 8.0
_LABEL_CHARACTERS = 8


@dataclass(frozen=True, eq=False)
class Explained:
    """One image and what explains its prediction.

    Parameters
    ----------
    image
        uint8, shape (H, W, C).
    heat
        uint8, shape (H, W); None without one.
    lines
        Short lines about it.
    neighbours
        uint8, shape (M, h, w, C).
    labels
        Their classes, M names.
    """

    image: Pixels
    heat: Pixels | None
    lines: tuple[str, ...]
    neighbours: Pixels
    labels: tuple[str, ...]


def draw_explained(entries: Sequence[Explained], palette: Palette) -> Figure:
    """Draw two images a row, each with its heat map, its lines, and its nearest training images.

    Parameters
    ----------
    entries
        In the order to show them in, row by row.
    """
    first = entries[0]
    ratio = first.image.shape[0] / first.image.shape[1]
    small_ratio = first.neighbours.shape[1] / first.neighbours.shape[2]
    below = _NEIGHBOUR_PX * small_ratio + _LABEL_PX + 4
    row_px = max(_SIDE_PX * ratio, 3 * _LINE_PX, below) + 12
    rows = -(-len(entries) // _COLUMNS)
    figure = new_figure(rows * row_px)
    figure.set_layout_engine("none")
    axes = blank_axes(figure, rows * row_px)
    for place, entry in enumerate(entries):
        left = (place % _COLUMNS) * _COLUMN_PX
        _draw_entry(axes, entry, left, (place // _COLUMNS) * row_px, palette)
    return figure


def _draw_entry(axes: Axes, entry: Explained, left: float, top: float, palette: Palette) -> None:
    _picture(axes, entry.image, left=left, top=top, width=_SIDE_PX)
    left += _SIDE_PX + _GAP_PX
    if entry.heat is not None:
        overlay = heat_overlay(entry.image, entry.heat / 255)
        _picture(axes, overlay, left=left, top=top, width=_SIDE_PX)
        left += _SIDE_PX + _GAP_PX
    left += _GAP_PX
    for number, line in enumerate(entry.lines):
        axes.text(
            left,
            top + (number + 0.6) * _LINE_PX,
            shorten(line, _CHARACTERS),
            fontsize=_TEXT_PX,
            va="center",
            color=palette.ink if number == 0 else palette.muted,
        )
    left += _TEXT_WIDTH_PX
    small = _NEIGHBOUR_PX * entry.neighbours.shape[1] / entry.neighbours.shape[2]
    for image, label in zip(entry.neighbours, entry.labels, strict=True):
        _picture(axes, image, left=left, top=top, width=_NEIGHBOUR_PX)
        axes.text(
            left,
            top + small + _LABEL_PX,
            shorten(label, _LABEL_CHARACTERS),
            fontsize=_LABEL_PX,
            va="center",
            color=palette.muted,
        )
        left += _NEIGHBOUR_PX + _GAP_PX


def _picture(axes: Axes, image: Pixels, *, left: float, top: float, width: float) -> None:
    height = width * image.shape[0] / image.shape[1]
    axes.imshow(
        image if image.shape[2] >= 3 else np.repeat(image, 3, axis=2),
        extent=(left, left + width, top + height, top),
        interpolation="none",
        aspect="auto",
    )
