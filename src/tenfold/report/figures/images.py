"""Figures that show images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tenfold.report.figures.canvas import (
    FONT_PX,
    SMALL_FONT_PX,
    WIDTH_PX,
    Palette,
    heat_overlay,
    new_figure,
)
from tenfold.report.formats import shorten

Pixels = npt.NDArray[np.uint8]

_GAP = 0.08
"""Space between two images, as a share of an image's side."""


_EXPLAINED_LABEL_PX = 8.0


_LABEL_PX = 190
_AUGMENTED_COLUMNS = 10


def draw_samples(
    images: Pixels, counts: npt.NDArray[np.int64], classes: tuple[str, ...], palette: Palette
) -> Figure:
    """Draw some training images of every class, one row a class, labelled with its name.

    Parameters
    ----------
    images
        uint8, shape (classes, samples, H, W, C).
    counts
        How many of each row are images; the others are left blank.
    classes
        Class names.
    """
    class_count = len(classes)
    columns = 1 if class_count <= 25 else 2
    rows = -(-class_count // columns)
    shown = images[:, : 10 if columns == 1 else 6]
    samples = shown.shape[1]
    block_px = WIDTH_PX / columns
    label_px: float = _LABEL_PX if columns == 1 else 150
    if columns == 1:
        longest = max(len(shorten(name, 26)) for name in classes)
        label_px = min(label_px, longest * FONT_PX * 0.66 + 14)
    side_px = min((block_px - label_px - 8) / samples, 56 if columns == 1 else 32)
    # Wide or tall images keep their shape: a cell is as wide as `side_px`.
    height_px = side_px * images.shape[2] / images.shape[3]
    figure = new_figure(rows * height_px + 4)
    figure.set_layout_engine("none")
    axes = blank_axes(figure, rows * height_px + 4)
    for index in range(class_count):
        left = (index // rows) * block_px
        top = 2 + (index % rows) * height_px
        axes.text(
            left + label_px - 10,
            top + height_px / 2,
            shorten(classes[index], 26 if columns == 1 else 22),
            ha="right",
            va="center",
            fontsize=FONT_PX if columns == 1 else 9,
            color=palette.ink,
        )
        count = int(min(counts[index], samples))
        if count:
            strip(
                axes,
                shown[index, :count],
                left=left + label_px,
                top=top,
                side_px=side_px,
                height_px=height_px,
            )
        else:
            axes.text(
                left + label_px,
                top + height_px / 2,
                "no training image",
                va="center",
                fontsize=SMALL_FONT_PX,
                color=palette.muted,
            )
    return figure


def draw_augmentation(original: Pixels, images: Pixels, palette: Palette) -> Figure:
    """Draw one training image and, beside it, the same image augmented many times.

    Parameters
    ----------
    original
        uint8, shape (H, W, C).
    images
        uint8, shape (samples, H, W, C).
    """
    big_px = 128.0
    left = big_px + 24
    columns = max(min(_AUGMENTED_COLUMNS, len(images)), 1)
    side_px = min((WIDTH_PX - left) / columns, 64)
    ratio = original.shape[0] / original.shape[1]
    rows = max(-(-len(images) // columns), 1)
    total_px = max(rows * side_px * ratio, big_px * ratio) + 26
    figure = new_figure(total_px)
    figure.set_layout_engine("none")
    axes = blank_axes(figure, total_px)
    for x, label in ((0.0, "Original"), (left, "Augmented, as training sees it")):
        axes.text(x, 13, label, fontsize=SMALL_FONT_PX, color=palette.muted, va="center")
    strip(axes, original[None], left=0, top=26, side_px=big_px, height_px=big_px * ratio)
    for row in range(rows):
        part = images[row * columns : (row + 1) * columns]
        if len(part):
            height_px = side_px * ratio
            top = 26 + row * height_px
            strip(axes, part, left=left, top=top, side_px=side_px, height_px=height_px)
    return figure


def blank_axes(figure: Figure, height_px: float) -> Axes:
    """Give axes over the whole figure whose unit is a pixel, with the origin at the top left."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH_PX)
    axes.set_ylim(height_px, 0)
    return axes


def strip(
    axes: Axes, images: Pixels, *, left: float, top: float, side_px: float, height_px: float
) -> None:
    """Put a row of images on the axes as one picture, at their own resolution."""
    count, height, width, channels = images.shape
    gap = max(round(width * _GAP), 1)
    strip = np.zeros((height, count * (width + gap), 4), dtype=np.uint8)
    for place, image in enumerate(images):
        start = place * (width + gap)
        strip[:, start : start + width, :3] = image if channels >= 3 else image[..., :1]
        strip[:, start : start + width, 3] = 255
    gap_px = gap / (width + gap) * side_px
    axes.imshow(
        strip,
        extent=(left, left + count * side_px, top + height_px - gap_px, top),
        interpolation="none",
        aspect="auto",
    )


_EXPLAINED_COLUMNS = 2


_GALLERY_COLUMNS = 8
_CELL_PX = WIDTH_PX / _GALLERY_COLUMNS


_EXPLAINED_SIDE_PX = 58.0


_GALLERY_SIDE_PX = 64.0


_EXPLAINED_TEXT_PX = 9.5


_GALLERY_TEXT_PX = 9.5


_EXPLAINED_LINE_PX = 13.5


_GALLERY_LINE_PX = 13.0


_EXPLAINED_CHARACTERS = 13


_GALLERY_CHARACTERS = 13
"""Of `_GALLERY_TEXT_PX` that fit a cell in the wide font that the layout is measured with."""


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
    rows = -(-len(images) // _GALLERY_COLUMNS)
    picture_px = _GALLERY_SIDE_PX * images.shape[1] / images.shape[2]
    line_count = max(len(caption.lines) for caption in captions)
    row_px = picture_px + line_count * _GALLERY_LINE_PX + 14
    figure = new_figure(rows * row_px)
    figure.set_layout_engine("none")
    axes = blank_axes(figure, rows * row_px)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = (place % _GALLERY_COLUMNS) * _CELL_PX
        top = (place // _GALLERY_COLUMNS) * row_px
        _picture(axes, image, left, top, picture_px)
        for number, line in enumerate(caption.lines):
            axes.text(
                left,
                top + picture_px + (number + 0.75) * _GALLERY_LINE_PX,
                shorten(line, _GALLERY_CHARACTERS),
                fontsize=_GALLERY_TEXT_PX,
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
        extent=(left, left + _GALLERY_SIDE_PX, top + height_px, top),
        interpolation="none",
        aspect="auto",
    )


_PAIR_COLUMNS = 4
_PAIR_PX = WIDTH_PX / _PAIR_COLUMNS
_PAIR_SIDE_PX = 76.0
_PAIR_TEXT_PX = 9.5
_PAIR_LINE_PX = 13.0
_PAIR_CHARACTERS = 27
"""Of `_PAIR_TEXT_PX` that fit below a pair in the wide font that the layout is measured with."""


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
    rows = -(-len(first) // _PAIR_COLUMNS)
    height_px = _PAIR_SIDE_PX * first.shape[1] / first.shape[2]
    row_px = height_px + len(captions[0]) * _PAIR_LINE_PX + 16
    figure = new_figure(rows * row_px)
    figure.set_layout_engine("none")
    axes = blank_axes(figure, rows * row_px)
    for place, (one, other, lines) in enumerate(zip(first, second, captions, strict=True)):
        left = (place % _PAIR_COLUMNS) * _PAIR_PX
        top = (place // _PAIR_COLUMNS) * row_px
        strip(
            axes,
            np.stack([one, other]),
            left=left,
            top=top,
            side_px=_PAIR_SIDE_PX,
            height_px=height_px,
        )
        for number, line in enumerate(lines):
            axes.text(
                left,
                top + height_px + (number + 0.75) * _PAIR_LINE_PX,
                shorten(line, _PAIR_CHARACTERS),
                fontsize=_PAIR_TEXT_PX,
                va="center",
                color=palette.ink if number == 0 else palette.muted,
            )
    return figure


_COLUMN_PX = (WIDTH_PX + 16) / _EXPLAINED_COLUMNS


_GAP_PX = 4.0
_TEXT_WIDTH_PX = 84.0


_NEIGHBOUR_PX = 44.0


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
    below = _NEIGHBOUR_PX * small_ratio + _EXPLAINED_LABEL_PX + 4
    row_px = max(_EXPLAINED_SIDE_PX * ratio, 3 * _EXPLAINED_LINE_PX, below) + 12
    rows = -(-len(entries) // _EXPLAINED_COLUMNS)
    figure = new_figure(rows * row_px)
    figure.set_layout_engine("none")
    axes = blank_axes(figure, rows * row_px)
    for place, entry in enumerate(entries):
        left = (place % _EXPLAINED_COLUMNS) * _COLUMN_PX
        _draw_entry(axes, entry, left, (place // _EXPLAINED_COLUMNS) * row_px, palette)
    return figure


def _draw_entry(axes: Axes, entry: Explained, left: float, top: float, palette: Palette) -> None:
    _explained_picture(axes, entry.image, left=left, top=top, width=_EXPLAINED_SIDE_PX)
    left += _EXPLAINED_SIDE_PX + _GAP_PX
    if entry.heat is not None:
        overlay = heat_overlay(entry.image, entry.heat / 255)
        _explained_picture(axes, overlay, left=left, top=top, width=_EXPLAINED_SIDE_PX)
        left += _EXPLAINED_SIDE_PX + _GAP_PX
    left += _GAP_PX
    for number, line in enumerate(entry.lines):
        axes.text(
            left,
            top + (number + 0.6) * _EXPLAINED_LINE_PX,
            shorten(line, _EXPLAINED_CHARACTERS),
            fontsize=_EXPLAINED_TEXT_PX,
            va="center",
            color=palette.ink if number == 0 else palette.muted,
        )
    left += _TEXT_WIDTH_PX
    small = _NEIGHBOUR_PX * entry.neighbours.shape[1] / entry.neighbours.shape[2]
    for image, label in zip(entry.neighbours, entry.labels, strict=True):
        _explained_picture(axes, image, left=left, top=top, width=_NEIGHBOUR_PX)
        axes.text(
            left,
            top + small + _EXPLAINED_LABEL_PX,
            shorten(label, _LABEL_CHARACTERS),
            fontsize=_EXPLAINED_LABEL_PX,
            va="center",
            color=palette.muted,
        )
        left += _NEIGHBOUR_PX + _GAP_PX


def _explained_picture(axes: Axes, image: Pixels, *, left: float, top: float, width: float) -> None:
    height = width * image.shape[0] / image.shape[1]
    axes.imshow(
        image if image.shape[2] >= 3 else np.repeat(image, 3, axis=2),
        extent=(left, left + width, top + height, top),
        interpolation="none",
        aspect="auto",
    )
