"""Reliability diagram, and accuracy against coverage."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tenfold.core.records.evaluation import CalibrationRecord, CalibrationScores
from tenfold.reporting.figures.canvas import Palette, new_figure, round_ticks


def draw_calibration(record: CalibrationRecord, palette: Palette) -> Figure:
    """Draw accuracy against probability, before and after scaling, and against coverage."""
    figure = new_figure(350)
    reliability, coverage = figure.subplots(1, 2)
    _draw_reliability(reliability, record, palette)
    _draw_coverage(coverage, record, palette)
    handles, labels = reliability.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return figure


def _draw_reliability(axes: Axes, record: CalibrationRecord, palette: Palette) -> None:
    axes.set_title("Reliability")
    is_scaled = record.temperature is not None
    shown = [record.after, record.before] if is_scaled else [record.after]
    lowest = min(min(one.confidence, one.interval.low) for scores in shown for one in scores.bins)
    start = max(lowest - 0.03, 0.0)
    axes.plot(
        [start, 1],
        [start, 1],
        color=palette.muted,
        linewidth=1,
        linestyle=(0, (3, 3)),
        label="Perfect",
    )
    if is_scaled:
        _draw_bins(axes, record.before, palette, label="Before scaling", series=1)
    _draw_bins(
        axes,
        record.after,
        palette,
        label="After scaling" if is_scaled else "The network's own",
        series=0,
    )
    axes.set_xlim(start, 1.02)
    axes.set_ylim(start, 1.02)
    axes.set_xlabel("Mean probability of the predicted class")
    axes.set_ylabel("Accuracy")
    axes.grid(visible=True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(round_ticks(6))


def _draw_bins(
    axes: Axes, scores: CalibrationScores, palette: Palette, *, label: str, series: int
) -> None:
    confidences = [one.confidence for one in scores.bins]
    is_after = series == 0
    colour = palette.series[series]
    if is_after:  # intervals of both would only cover each other
        axes.vlines(
            confidences,
            [one.interval.low for one in scores.bins],
            [one.interval.high for one in scores.bins],
            color=colour,
            linewidth=1.2,
            alpha=0.6,
        )
    axes.plot(
        confidences,
        [one.accuracy for one in scores.bins],
        color=colour,
        linewidth=1.4,
        linestyle="-" if is_after else (0, (4, 2)),
        marker="o" if is_after else "s",
        markersize=5 if is_after else 4.5,
        markerfacecolor=colour if is_after else "none",
        label=label,
    )


def _draw_coverage(axes: Axes, record: CalibrationRecord, palette: Palette) -> None:
    axes.set_title("Accuracy on the surest images")
    points = record.coverage
    axes.plot(
        [point.coverage for point in points],
        [point.accuracy for point in points],
        color=palette.series[0],
        linewidth=1.8,
        marker="o" if len(points) < 3 else "",
    )
    axes.plot(
        [points[-1].coverage],
        [points[-1].accuracy],
        marker="D",
        markersize=6,
        color=palette.series[2],
        clip_on=False,
        zorder=3,
    )
    axes.set_xlim(0, 1)
    lowest = min(point.accuracy for point in points)
    axes.set_ylim(max(lowest - 0.25 * (1 - lowest) - 0.002, 0), 1 + 0.05 * (1 - lowest) + 0.0005)
    axes.set_xlabel("Share of the images answered, the surest first")
    axes.set_ylabel("Accuracy")
    axes.grid(visible=True)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_locator(round_ticks(6))
