"""Figures that show images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from tenfold.report.figures.canvas import (
    FONT_PX,
    SMALL_FONT_PX,
    WIDTH_PX,
    Palette,
    new_figure,
)
from tenfold.report.figures.heat import heat_overlay
from tenfold.report.formats import shorten
from tenfold.report.records import Pixels

_GAP = 0.08
"""Space between two images of a strip, as a share of an image's side."""

_LINE_FONT_PX = 9.5
_LINE_PX = 13.0
"""From one line below an image to the next."""


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
    label_px = 150.0
    if columns == 1:
        longest = max(len(shorten(name, 26)) for name in classes)
        label_px = min(190.0, longest * FONT_PX * 0.66 + 14)
    side_px = min((block_px - label_px - 8) / samples, 56 if columns == 1 else 32)
    # Wide or tall images keep their shape: a cell is as wide as `side_px`.
    height_px = side_px * images.shape[2] / images.shape[3]
    figure, axes = _canvas(rows * height_px + 4)
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
            part = shown[index, :count]
            _strip(axes, part, left + label_px, top, side_px=side_px, height_px=height_px)
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
    columns = max(min(10, len(images)), 1)
    side_px = min((WIDTH_PX - left) / columns, 64)
    ratio = original.shape[0] / original.shape[1]
    height_px = side_px * ratio
    rows = max(-(-len(images) // columns), 1)
    figure, axes = _canvas(max(rows * side_px * ratio, big_px * ratio) + 26)
    for x, label in ((0.0, "Original"), (left, "Augmented, as training sees it")):
        axes.text(x, 13, label, fontsize=SMALL_FONT_PX, color=palette.muted, va="center")
    _strip(axes, original[None], 0, 26, side_px=big_px, height_px=big_px * ratio)
    for row in range(rows):
        part = images[row * columns : (row + 1) * columns]
        if len(part):
            _strip(axes, part, left, 26 + row * height_px, side_px=side_px, height_px=height_px)
    return figure


def draw_gallery(images: Pixels, captions: Sequence[tuple[str, ...]], palette: Palette) -> Figure:
    """Draw images in rows of eight, each with up to three short lines below it.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    captions
        Lines of each image.
    """
    columns, side_px = 8, 64.0
    rows = -(-len(images) // columns)
    height_px = side_px * images.shape[1] / images.shape[2]
    row_px = height_px + max(map(len, captions)) * _LINE_PX + 14
    figure, axes = _canvas(rows * row_px)
    for place, (image, lines) in enumerate(zip(images, captions, strict=True)):
        left = (place % columns) * WIDTH_PX / columns
        top = (place // columns) * row_px
        _picture(axes, image, left, top, width_px=side_px)
        _lines_below(axes, lines, left, top + height_px, palette, characters=13)
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
    side_px = min((WIDTH_PX - label_px) / max(len(part) for part in images), 60.0)
    height_px = side_px * images[0].shape[1] / images[0].shape[2]
    row_px = max(height_px, 36.0) + 8
    figure, axes = _canvas(row_px * len(images))
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
        _strip(axes, part, label_px, top, side_px=side_px, height_px=height_px)
    return figure


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
    columns, side_px = 4, 76.0
    rows = -(-len(first) // columns)
    height_px = side_px * first.shape[1] / first.shape[2]
    row_px = height_px + len(captions[0]) * _LINE_PX + 16
    figure, axes = _canvas(rows * row_px)
    for place, (one, other, lines) in enumerate(zip(first, second, captions, strict=True)):
        left = (place % columns) * WIDTH_PX / columns
        top = (place // columns) * row_px
        _strip(axes, np.stack([one, other]), left, top, side_px=side_px, height_px=height_px)
        _lines_below(axes, lines, left, top + height_px, palette, characters=27)
    return figure


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


_EXPLAINED_PX = 58.0
_EXPLAINED_LINE_PX = 13.5
_NEIGHBOUR_PX = 44.0
_NEIGHBOUR_LABEL_PX = 8.0
_GAP_PX = 4.0


def draw_explained(entries: Sequence[Explained], palette: Palette) -> Figure:
    """Draw two images a row, each with its heat map, its lines, and its nearest training images.

    Parameters
    ----------
    entries
        In the order to show them in, row by row.
    """
    columns = 2
    image, neighbours = entries[0].image, entries[0].neighbours
    row_px = 12 + max(
        _EXPLAINED_PX * (image.shape[0] / image.shape[1]),
        3 * _EXPLAINED_LINE_PX,
        _NEIGHBOUR_PX * (neighbours.shape[1] / neighbours.shape[2]) + _NEIGHBOUR_LABEL_PX + 4,
    )
    figure, axes = _canvas(-(-len(entries) // columns) * row_px)
    for place, entry in enumerate(entries):
        left = (place % columns) * (WIDTH_PX + 16) / columns
        _draw_entry(axes, entry, left, (place // columns) * row_px, palette)
    return figure


def _draw_entry(axes: Axes, entry: Explained, left: float, top: float, palette: Palette) -> None:
    _picture(axes, entry.image, left, top, width_px=_EXPLAINED_PX)
    left += _EXPLAINED_PX + _GAP_PX
    if entry.heat is not None:
        overlay = heat_overlay(entry.image, entry.heat / 255)
        _picture(axes, overlay, left, top, width_px=_EXPLAINED_PX)
        left += _EXPLAINED_PX + _GAP_PX
    left += _GAP_PX
    middle = top + 0.6 * _EXPLAINED_LINE_PX
    _write(axes, entry.lines, left, middle, palette, step_px=_EXPLAINED_LINE_PX, characters=13)
    left += 84.0
    below = _NEIGHBOUR_PX * entry.neighbours.shape[1] / entry.neighbours.shape[2]
    for image, label in zip(entry.neighbours, entry.labels, strict=True):
        _picture(axes, image, left, top, width_px=_NEIGHBOUR_PX)
        axes.text(
            left,
            top + below + _NEIGHBOUR_LABEL_PX,
            shorten(label, 8),
            fontsize=_NEIGHBOUR_LABEL_PX,
            va="center",
            color=palette.muted,
        )
        left += _NEIGHBOUR_PX + _GAP_PX


def _canvas(height_px: float) -> tuple[Figure, Axes]:
    """Give a figure with axes over all of it, whose unit is a pixel, the origin at the top left."""
    figure = new_figure(height_px)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH_PX)
    axes.set_ylim(height_px, 0)
    return figure, axes


def _picture(axes: Axes, image: Pixels, left: float, top: float, *, width_px: float) -> None:
    height_px = width_px * image.shape[0] / image.shape[1]
    image = shown_at(image, width_px)
    axes.imshow(
        image if image.shape[2] >= 3 else np.repeat(image, 3, axis=2),
        extent=(left, left + width_px, top + height_px, top),
        interpolation="none",
        aspect="auto",
    )


def shown_at(image: Pixels, width_px: float) -> Pixels:
    """Give an image with no more pixels than a display of twice the page's resolution has.

    A photograph of 160 px that is shown as wide as 56 px would be three times the page's bytes, and
    the time to encode them.

    Parameters
    ----------
    image
        uint8, shape (H, W, C).
    width_px
        Of its place on the page.
    """
    height, width, channels = image.shape
    most = math.ceil(2 * width_px)
    if width <= most:
        return image
    whole = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    smaller = whole.resize((most, max(round(height * most / width), 1)), Image.Resampling.BOX)
    return np.asarray(smaller).reshape(smaller.height, most, channels)


def _strip(
    axes: Axes, images: Pixels, left: float, top: float, *, side_px: float, height_px: float
) -> None:
    """Put a row of images on the axes as one picture."""
    images = np.stack([shown_at(image, side_px) for image in images])
    count, height, width, channels = images.shape
    gap = max(round(width * _GAP), 1)
    row = np.zeros((height, count * (width + gap), 4), dtype=np.uint8)
    for place, image in enumerate(images):
        start = place * (width + gap)
        row[:, start : start + width, :3] = image if channels >= 3 else image[..., :1]
        row[:, start : start + width, 3] = 255
    gap_px = gap / (width + gap) * side_px
    axes.imshow(
        row,
        extent=(left, left + count * side_px, top + height_px - gap_px, top),
        interpolation="none",
        aspect="auto",
    )


def _lines_below(
    axes: Axes,
    lines: Sequence[str],
    left: float,
    bottom: float,
    palette: Palette,
    *,
    characters: int,
) -> None:
    """Write short lines below a picture that ends at `bottom`."""
    middle = bottom + 0.75 * _LINE_PX
    _write(axes, lines, left, middle, palette, step_px=_LINE_PX, characters=characters)


def _write(
    axes: Axes,
    lines: Sequence[str],
    left: float,
    middle: float,
    palette: Palette,
    *,
    step_px: float,
    characters: int,
) -> None:
    """Write lines from one whose middle is given, the first in ink and the others muted.

    `characters` is how many fit in the wide font that the layout is measured with.
    """
    for number, line in enumerate(lines):
        axes.text(
            left,
            middle + number * step_px,
            shorten(line, characters),
            fontsize=_LINE_FONT_PX,
            va="center",
            color=palette.muted if number else palette.ink,
        )
