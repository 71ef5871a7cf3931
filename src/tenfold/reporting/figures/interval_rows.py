"""Dots with intervals, one a row: what comparisons and ablations are shown as."""

from __future__ import annotations

from matplotlib.axes import Axes

from tenfold.core.record import Interval
from tenfold.reporting.figures.canvas import Palette, round_ticks


def draw_interval_rows(
    axes: Axes,
    names: list[str],
    values: list[float],
    intervals: list[Interval],
    *,
    colours: list[str],
    palette: Palette,
) -> None:
    """Draw one dot a row, in percent, with its interval (given as a share), the first on top."""
    places = range(len(names))
    for place, value, ends, colour in zip(places, values, intervals, colours, strict=True):
        axes.hlines(place, 100 * ends.low, 100 * ends.high, color=colour, linewidth=2, alpha=0.55)
        axes.plot(
            [value],
            [place],
            marker="o",
            markersize=7,
            markerfacecolor=colour,
            markeredgecolor=palette.surface,
            markeredgewidth=0.8,
            zorder=3,
        )
    axes.set_yticks(places, names, color=palette.ink)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
    axes.xaxis.set_major_locator(round_ticks(7))
    axes.margins(x=0.08)
