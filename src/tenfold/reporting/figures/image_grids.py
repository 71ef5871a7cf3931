"""Figure 2 of the original (images of each class), and one image under augmentation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tenfold.reporting.figures.canvas import FONT_PX, SMALL_FONT_PX, WIDTH_PX, Palette, new_figure
from tenfold.reporting.formats import shorten

Pixels = npt.NDArray[np.uint8]

_GAP = 0.08
"""Space between two images, as a share of an image's side."""

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
