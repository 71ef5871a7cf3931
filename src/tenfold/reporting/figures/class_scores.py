"""Precision, recall and F1 of each class."""

from __future__ import annotations

from matplotlib.figure import Figure

from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.reporting.figures.canvas import Palette, new_figure, round_ticks
from tenfold.reporting.figures.class_rows import (
    column_slices,
    figure_height_px,
    label_rows,
    row_axes,
    row_height_px,
)


def draw_class_scores(record: EvaluateRecord, palette: Palette) -> Figure:
    """Draw three marks a class, each with its interval, and the macro F1."""
    scores = record.scores
    class_count = len(scores.classes)
    figure = new_figure(figure_height_px(class_count, extra_px=84))
    all_axes = row_axes(figure, class_count)
    size = 7.5 if row_height_px(class_count) > 18 else 5
    # Precision sits a little above its row and recall below, so that equal scores all show.
    marks = (
        ("Precision", "precision", "v", -0.24),
        ("Recall", "recall", "^", 0.24),
        ("F1", "f1", "o", 0.0),
    )
    for axes, rows in zip(all_axes, column_slices(class_count), strict=True):
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
        label_rows(axes, [c.name for c in classes], palette, class_count=class_count)
        axes.set_xlim(*_limits(record))
        axes.xaxis.set_major_locator(round_ticks(6))
        axes.set_xlabel("Score")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4)
    return figure


def _limits(record: EvaluateRecord) -> tuple[float, float]:
    """Give 0 to 1, or a closer look where all scores are high."""
    lowest = min(
        min(one.precision.low, one.recall.low, one.f1.low) for one in record.intervals.classes
    )
    start = 0.0 if lowest < 0.5 else 0.5 if lowest < 0.8 else 0.8
    return start, 1.0 + 0.02 * (1 - start)
