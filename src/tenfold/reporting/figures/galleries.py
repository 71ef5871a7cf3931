"""Test images with what the model took them for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tenfold.reporting.figures.canvas import FONT_PX, WIDTH_PX, Palette, new_figure
from tenfold.reporting.figures.image_grids import blank_axes, strip
from tenfold.reporting.formats import shorten

Pixels = npt.NDArray[np.uint8]

_COLUMNS = 8
_CELL_PX = WIDTH_PX / _COLUMNS
_SIDE_PX = 64.0
_TEXT_PX = 9.5
_LINE_PX = 13.0
_CHARACTERS = 13
"""Of `_TEXT_PX` that fit a cell's width in the wide font that the layout is measured with."""


@dataclass(frozen=True)
class Captioned:
    """What stands below one image, line by line."""

    lines: tuple[str, ...]


def draw_gallery(images: Pixels, captions: Sequence[Captioned], palette: Palette) -> Figure:
    """Draw images in rows of eight, each with up to three short lines below it.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    captions
        One an image.
    """
    rows = -(-len(images) // _COLUMNS)
    picture_px = _SIDE_PX * images.shape[1] / images.shape[2]
    line_count = max(len(caption.lines) for caption in captions)
    row_px = picture_px + line_count * _LINE_PX + 14
    figure = new_figure(rows * row_px)
    figure.set_layout_engine("none")
    axes = blank_axes(figure, rows * row_px)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = (place % _COLUMNS) * _CELL_PX
        top = (place // _COLUMNS) * row_px
        _picture(axes, image, left, top, picture_px)
        for number, line in enumerate(caption.lines):
            axes.text(
                left,
                top + picture_px + (number + 0.75) * _LINE_PX,
                shorten(line, _CHARACTERS),
                fontsize=_TEXT_PX,
                va="center",
                color=palette.ink if number == 0 else palette.muted,
            )
    return figure


def draw_pairs(
    images: Sequence[Pixels], titles: Sequence[tuple[str, str]], palette: Palette
) -> Figure:
    """Draw one row a confusion: what it is, then images of it.

    Parameters
    ----------
    images
        One array a confusion, uint8, shape (M, H, W, C).
    titles
        Two short lines a confusion.
    """
    label_px = 176.0
    side_px = (WIDTH_PX - label_px) / max(len(part) for part in images)
    side_px = min(side_px, 60.0)
    height_px = side_px * images[0].shape[1] / images[0].shape[2]
    row_px = max(height_px, 36.0) + 8
    figure = new_figure(row_px * len(images))
    figure.set_layout_engine("none")
    axes = blank_axes(figure, row_px * len(images))
    for place, (part, (first, second)) in enumerate(zip(images, titles, strict=True)):
        top = place * row_px
        middle = top + height_px / 2
        axes.text(0, middle - 8, shorten(first, 22), va="center", color=palette.ink)
        axes.text(
            0,
            middle + 9,
            shorten(second, 26),
            fontsize=FONT_PX - 2,
            va="center",
            color=palette.muted,
        )
        strip(axes, part, left=label_px, top=top, side_px=side_px, height_px=height_px)
    return figure


def _picture(axes: Axes, image: Pixels, left: float, top: float, height_px: float) -> None:
    shown = image if image.shape[2] >= 3 else np.repeat(image, 3, axis=2)
    axes.imshow(
        shown,
        extent=(left, left + _SIDE_PX, top + height_px, top),
        interpolation="none",
        aspect="auto",
    )
