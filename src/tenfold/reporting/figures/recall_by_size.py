"""Recall of each class, the classes in the order of their training images."""

from __future__ import annotations

from matplotlib.figure import Figure

from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.reporting.figures.canvas import Palette, new_figure, round_ticks
from tenfold.reporting.figures.class_rows import (
    column_slices,
    figure_height_px,
    label_rows,
    row_axes,
    row_height_px,
)
from tenfold.reporting.formats import count, shorten

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
    figure = new_figure(figure_height_px(len(rows), extra_px=84))
    size = 7.5 if row_height_px(len(rows)) > 18 else 5
    all_axes = row_axes(figure, len(rows))
    for axes, part in zip(all_axes, column_slices(len(rows)), strict=True):
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
        label_rows(axes, names, palette, class_count=len(rows))
        lowest = min(interval.low for _, _, interval in rows)
        axes.set_xlim(max(lowest - 0.05, 0.0), 1.01)
        axes.xaxis.set_major_locator(round_ticks(6))
        axes.set_xlabel("Recall on the test images")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    return figure
