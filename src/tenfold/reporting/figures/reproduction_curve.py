"""The original's training curve and ours, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from tenfold.reporting.figures.canvas import Palette, new_figure, round_ticks
from tenfold.reporting.formats import shorten
from tenfold.reporting.reproduction import CurvePair


def draw_reproduction_curves(pairs: Sequence[CurvePair], palette: Palette) -> Figure:
    """Draw one panel a curve, up to two side by side; `pairs` has at least one."""
    columns = min(len(pairs), 2)
    rows = -(-len(pairs) // columns)
    figure = new_figure(rows * 250 + 50)
    grid = figure.subplots(rows, columns, squeeze=False)
    all_axes = list(grid.flat)
    for axes, pair in zip(all_axes, pairs, strict=False):
        axes.set_title(shorten(pair.label, 70 if columns == 1 else 40))
        for values, colour, style, marker, label in (
            (pair.original, palette.series[1], (0, (4, 2)), "s", "Original"),
            (pair.ours, palette.series[0], "-", "o", "This study"),
        ):
            axes.plot(
                range(1, len(values) + 1),
                values,
                color=colour,
                linestyle=style,
                marker=marker,
                markersize=4 if len(values) <= 40 else 0,
                linewidth=1.8,
                label=label,
            )
        axes.grid(visible=True, axis="y")
        axes.xaxis.set_major_locator(round_ticks(10, integer=True))
        axes.set_xlabel("Epoch")
    for axes in all_axes[len(pairs) :]:
        axes.set_visible(False)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2)
    return figure
