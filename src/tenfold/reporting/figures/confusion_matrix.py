"""Figure 4 of the original: which classes are taken for which."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tenfold.core.records.evaluation import ClassificationScores
from tenfold.reporting.figures.canvas import FONT_PX, Palette, new_figure
from tenfold.reporting.formats import shorten

_NAMED_CLASSES = 40
"""With more classes names cannot be read at the cells' size: class numbers are shown instead."""

_DIGIT_WIDTH = 0.66  # of a digit, in font sizes; measured on wide system fonts
_FULL = 0.72  # opacity from which on white is easier to read on the cell than dark ink
_OPACITY_POWER = 0.6  # below 1, so that confusions of a few per cent can be seen at all


def draw_confusion_matrix(scores: ClassificationScores, palette: Palette) -> Figure:
    """Draw the confusion matrix, each row coloured by its share of the true class.

    Colour is one hue by opacity, so that the matrix reads on a light and on a dark page.
    """
    matrix = np.array(scores.confusion, dtype=np.int64)
    size = len(matrix)
    names = [shorten(c.name, 22 if size <= 20 else 16) for c in scores.classes]
    longest = max(len(name) for name in names)
    label_size = FONT_PX - 1 if size <= 15 else 9.0
    label_px = longest * label_size * 0.62 if size <= _NAMED_CLASSES else 24
    side_px = min(560.0, 110.0 * size) if size <= 4 else 560.0
    rotation = _rotation(longest * label_size * 0.62, side_px / size)
    top_px = label_px * {0: 0.0, 45: 0.75, 90: 1.0}[rotation] + label_size + 34
    figure = new_figure(side_px + top_px)
    figure.set_layout_engine("none")
    height_px = side_px + top_px
    # The square is placed by hand: a colour map beside it would only repeat what cells say.
    left_px = min(label_px + 40, 720 - side_px - 2)
    axes = figure.add_axes((left_px / 720, 2 / height_px, side_px / 720, (side_px - 4) / height_px))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(_cells(shares, palette), interpolation="none", aspect="auto")
    _write_cells(axes, matrix, shares, side_px / size, palette)
    _label_axes(axes, names, label_size, rotation, palette)
    return figure


def _cells(shares: npt.NDArray[np.float64], palette: Palette) -> npt.NDArray[np.uint8]:
    cells = np.empty((*shares.shape, 4), dtype=np.uint8)
    cells[..., :3] = np.round(np.array(to_rgb(palette.heat)) * 255)
    cells[..., 3] = np.round(shares**_OPACITY_POWER * 255)
    return cells


def _write_cells(
    axes: Axes,
    matrix: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    cell_px: float,
    palette: Palette,
) -> None:
    """Write the counts where the longest of them fits its cell."""
    digits = len(str(matrix.max()))
    font_px = min(FONT_PX + 1.0, (cell_px - 4) / (digits * _DIGIT_WIDTH))
    if font_px < 7.5:
        return
    for (row, column), images in np.ndenumerate(matrix):
        if images == 0 and len(matrix) > 4:
            continue  # blank is easier to read than a field of zeros
        is_full = shares[row, column] ** _OPACITY_POWER > _FULL
        axes.text(
            column,
            row,
            str(images),
            ha="center",
            va="center",
            fontsize=font_px,
            fontweight="bold" if row == column else "normal",
            color=palette.on_heat if is_full else palette.ink,
        )


def _label_axes(
    axes: Axes, names: list[str], label_size: float, rotation: int, palette: Palette
) -> None:
    size = len(names)
    if size <= _NAMED_CLASSES:
        axes.set_xticks(
            range(size),
            names,
            fontsize=label_size,
            rotation=rotation,
            ha="left" if rotation == 45 else "center",
            rotation_mode="anchor" if rotation == 45 else None,
        )
        axes.set_yticks(range(size), names, fontsize=label_size)
    else:
        places = [0, *range(9, size, 10)]
        axes.set_xticks(places, [str(place + 1) for place in places])
        axes.set_yticks(places, [str(place + 1) for place in places])
    numbered = "" if size <= _NAMED_CLASSES else " (number, in the order of the class table)"
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0 if size <= _NAMED_CLASSES else 3)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_color(palette.ink)
    axes.set_xlabel(f"Predicted class{numbered}", labelpad=8)
    axes.set_ylabel(f"True class{numbered}", labelpad=8)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(palette.grid)


def _rotation(label_px: float, cell_px: float) -> int:
    """Give the flattest angle at which neighbouring labels do not touch."""
    if label_px < cell_px - 6:
        return 0
    return 45 if cell_px >= 20 else 90
