"""Figures with one row a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import ClassificationScores, EvaluateRecord
from tenfold.report.figures.canvas import FONT_PX, SMALL_FONT_PX, Palette, new_figure, round_ticks
from tenfold.report.formats import count, shorten


def draw_class_distribution(record: AcquireRecord, palette: Palette) -> Figure:
    """Draw two bars a class: training and test images."""
    class_count = len(record.classes)
    figure = new_figure(_figure_height_px(class_count, extra_px=84))
    all_axes = _row_axes(figure, class_count)
    splits = (("Training images", record.train_counts), ("Test images", record.test_counts))
    for axes, rows in zip(all_axes, _column_slices(class_count), strict=True):
        names = record.classes[rows]
        places = np.arange(len(names))
        for (label, counts), offset, colour in zip(
            splits, (-0.19, 0.19), palette.series, strict=False
        ):
            axes.barh(
                places + offset, counts[rows], height=0.34, color=colour, label=label, linewidth=0
            )
        _label_rows(axes, names, palette, class_count=class_count)
        axes.xaxis.set_major_locator(round_ticks(6, integer=True))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("Images")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def draw_class_scores(record: EvaluateRecord, palette: Palette) -> Figure:
    """Draw three marks a class, each with its interval, and the macro F1."""
    scores = record.scores
    class_count = len(scores.classes)
    figure = new_figure(_figure_height_px(class_count, extra_px=84))
    all_axes = _row_axes(figure, class_count)
    size = 7.5 if _row_height_px(class_count) > 18 else 5
    # Precision sits a little above its row and recall below, so that equal scores all show.
    marks = (
        ("Precision", "precision", "v", -0.24),
        ("Recall", "recall", "^", 0.24),
        ("F1", "f1", "o", 0.0),
    )
    for axes, rows in zip(all_axes, _column_slices(class_count), strict=True):
        classes = scores.classes[rows]
        places = range(len(classes))
        intervals = record.intervals.classes[rows]
        axes.axvline(
            scores.macro_f1,
            color=palette.muted,
            linewidth=1,
            linestyle=(0, (3, 3)),
            label="Macro F1",
        )
        for (label, attribute, marker, offset), colour in zip(marks, palette.series, strict=True):
            ends = [getattr(one, attribute) for one in intervals]
            axes.hlines(
                [place + offset for place in places],
                [interval.low for interval in ends],
                [interval.high for interval in ends],
                color=colour,
                linewidth=size * 0.2,
                alpha=0.6,
            )
            axes.plot(
                [getattr(c, attribute) for c in classes],
                [place + offset for place in places],
                linestyle="none",
                marker=marker,
                markersize=size,
                markerfacecolor=colour,
                markeredgecolor=palette.surface,
                markeredgewidth=0.8,
                label=label,
                clip_on=False,
                zorder=3,
            )
        _label_rows(axes, [c.name for c in classes], palette, class_count=class_count)
        axes.set_xlim(*_limits(record))
        axes.xaxis.set_major_locator(round_ticks(6))
        axes.set_xlabel("Score")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return figure


def _limits(record: EvaluateRecord) -> tuple[float, float]:
    """Give 0 to 1, or a closer look where all scores are high."""
    lowest = min(
        min(one.precision.low, one.recall.low, one.f1.low) for one in record.intervals.classes
    )
    start = 0.0 if lowest < 0.5 else 0.5 if lowest < 0.8 else 0.8
    return start, 1.0 + 0.02 * (1 - start)


_NAME_CHARACTERS = 17
"""Name and number of images together still fit the label's width."""


def draw_recall_by_size(
    acquire: AcquireRecord, evaluate: EvaluateRecord, palette: Palette
) -> Figure:
    """Draw one mark a class with its interval, the class with the most training images on top."""
    rows = sorted(
        (
            (size, scores, intervals.recall)
            for size, scores, intervals in zip(
                acquire.train_counts,
                evaluate.scores.classes,
                evaluate.intervals.classes,
                strict=True,
            )
            if scores.total_cases
        ),
        key=lambda row: -row[0],
    )
    figure = new_figure(_figure_height_px(len(rows), extra_px=84))
    size = 7.5 if _row_height_px(len(rows)) > 18 else 5
    all_axes = _row_axes(figure, len(rows))
    for axes, part in zip(all_axes, _column_slices(len(rows)), strict=True):
        shown = rows[part]
        places = range(len(shown))
        axes.hlines(
            places,
            [interval.low for _, _, interval in shown],
            [interval.high for _, _, interval in shown],
            color=palette.series[0],
            linewidth=size * 0.3,
            alpha=0.55,
            label="95% interval",
        )
        axes.axvline(
            evaluate.scores.balanced_accuracy,
            color=palette.muted,
            linewidth=1,
            linestyle=(0, (3, 3)),
            label="Balanced accuracy",
        )
        axes.plot(
            [scores.recall for _, scores, _ in shown],
            places,
            linestyle="none",
            marker="^",
            markersize=size,
            markerfacecolor=palette.series[0],
            markeredgecolor=palette.surface,
            markeredgewidth=0.8,
            label="Recall",
            clip_on=False,
            zorder=3,
        )
        names = [f"{shorten(s.name, _NAME_CHARACTERS)}, {count(n)}" for n, s, _ in shown]
        _label_rows(axes, names, palette, class_count=len(rows))
        lowest = min(interval.low for _, _, interval in rows)
        axes.set_xlim(max(lowest - 0.05, 0.0), 1.01)
        axes.xaxis.set_major_locator(round_ticks(6))
        axes.set_xlabel("Recall on the test images")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


_ROWS_A_COLUMN = 40
"""With more classes the rows are set in two columns, so that the figure still fits a page."""

_LABEL_CHARACTERS = 26


def _column_slices(class_count: int) -> list[slice]:
    """Split the classes into one column, or two of equal length where there are many."""
    if class_count <= _ROWS_A_COLUMN:
        return [slice(0, class_count)]
    half = (class_count + 1) // 2
    return [slice(0, half), slice(half, class_count)]


def _row_height_px(class_count: int) -> float:
    """Give a row's height: generous for few classes, tight for many."""
    return 26 if class_count <= 12 else 19 if class_count <= _ROWS_A_COLUMN else 14


def _figure_height_px(class_count: int, *, extra_px: float) -> float:
    """Give the height of a figure of one row a class, with `extra_px` for axes and legend."""
    rows = -(-class_count // len(_column_slices(class_count)))
    return rows * _row_height_px(class_count) + extra_px


def _row_axes(figure: Figure, class_count: int) -> list[Axes]:
    """Give one axes a column, side by side, on one horizontal scale."""
    columns = len(_column_slices(class_count))
    return list(figure.subplots(1, columns, sharex=True, squeeze=False)[0])


def _label_rows(axes: Axes, names: Sequence[str], palette: Palette, *, class_count: int) -> None:
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
