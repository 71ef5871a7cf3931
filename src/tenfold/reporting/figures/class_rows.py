"""Rows labelled with class names: the frame that figures with one row a class share."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tenfold.reporting.figures.canvas import FONT_PX, SMALL_FONT_PX, Palette
from tenfold.reporting.formats import shorten

_ROWS_A_COLUMN = 40
"""With more classes the rows are set in two columns, so that the figure still fits a page."""

_LABEL_CHARACTERS = 26


def column_slices(class_count: int) -> list[slice]:
    """Split the classes into one column, or two of equal length where there are many."""
    if class_count <= _ROWS_A_COLUMN:
        return [slice(0, class_count)]
    half = (class_count + 1) // 2
    return [slice(0, half), slice(half, class_count)]


def row_height_px(class_count: int) -> float:
    """Give a row's height: generous for few classes, tight for many."""
    return 26 if class_count <= 12 else 19 if class_count <= _ROWS_A_COLUMN else 14


def figure_height_px(class_count: int, *, extra_px: float) -> float:
    """Give the height of a figure of one row a class, with `extra_px` for axes and legend."""
    rows = -(-class_count // len(column_slices(class_count)))
    return rows * row_height_px(class_count) + extra_px


def row_axes(figure: Figure, class_count: int) -> list[Axes]:
    """Give one axes a column, side by side, on one horizontal scale."""
    columns = len(column_slices(class_count))
    return list(figure.subplots(1, columns, sharex=True, squeeze=False)[0])


def label_rows(axes: Axes, names: Sequence[str], palette: Palette, *, class_count: int) -> None:
    """Write the class names beside the rows, the first at the top."""
    few = class_count <= 12
    width = _LABEL_CHARACTERS if class_count <= _ROWS_A_COLUMN else _LABEL_CHARACTERS - 2
    axes.set_yticks(
        range(len(names)),
        [shorten(name, width) for name in names],
        fontsize=FONT_PX - 0.5 if few else SMALL_FONT_PX - 0.5 if class_count <= 40 else 9,
        color=palette.ink,
    )
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
