"""Accuracy under each disturbance as it grows stronger."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from tenfold.core.records.evaluation import CorruptionScores, RobustnessRecord
from tenfold.reporting.figures.canvas import Palette, new_figure, round_ticks

_COLUMNS = 3


def draw_robustness(record: RobustnessRecord, palette: Palette) -> Figure:
    """Draw one panel a disturbance on one scale, with the undisturbed accuracy as a line."""
    count = len(record.corruptions)
    rows = -(-count // _COLUMNS)
    figure = new_figure(160 * rows + 50)
    panels = figure.subplots(rows, _COLUMNS, sharey=True, squeeze=False).ravel()
    for place, axes in enumerate(panels):
        if place >= count:
            axes.set_axis_off()
            continue
        _draw_panel(axes, record.corruptions[place], record, palette)
        axes.set_xlabel("Strength" if place >= count - _COLUMNS else "")
        axes.set_ylabel("Accuracy" if place % _COLUMNS == 0 else "")
    lowest = min(min(one.accuracies) for one in record.corruptions)
    start = 0.0 if lowest < 0.45 else max(lowest - 0.06, 0.0)
    panels[0].set_ylim(start, min(record.accuracy + 0.06, 1.02))
    panels[0].yaxis.set_major_locator(round_ticks(5))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2)
    return figure


def _draw_panel(
    axes: Axes, scores: CorruptionScores, record: RobustnessRecord, palette: Palette
) -> None:
    strengths = range(1, len(scores.accuracies) + 1)
    axes.set_title(scores.name)
    axes.axhline(
        record.accuracy,
        color=palette.muted,
        linewidth=1,
        linestyle=(0, (3, 3)),
        label="Undisturbed",
    )
    axes.plot(
        strengths,
        scores.accuracies,
        color=palette.series[0],
        marker="o",
        markersize=5,
        linewidth=1.6,
        label="Disturbed",
    )
    axes.xaxis.set_major_locator(FixedLocator(list(strengths)))
    axes.grid(visible=True, axis="y")
