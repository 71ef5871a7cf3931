"""Loss over a rising learning rate."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from tenfold.core.records.training import RateSweepRecord
from tenfold.reporting.figures.canvas import Palette, new_figure
from tenfold.reporting.formats import shorten


def draw_rate_sweep(record: RateSweepRecord, palette: Palette) -> Figure:
    """Draw each step's loss as a dot, the smoothed loss as a line, and the suggested rate."""
    rates = [step.learning_rate for step in record.steps]
    smoothed = [step.smoothed_loss for step in record.steps]
    figure = new_figure(340)
    axes = figure.subplots()
    axes.set_title(f"{record.model} on {shorten(record.data, 40)}, {record.optimizer}")
    axes.grid(visible=True, axis="y")
    axes.set_xscale("log")
    # matplotlib's own labels are formulas, which figures here are drawn without.
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Learning rate")
    axes.set_ylabel("Loss")
    axes.plot(
        rates,
        [step.loss for step in record.steps],
        linestyle="none",
        marker="o",
        markersize=3,
        color=palette.muted,
        alpha=0.5,
        label="Loss of a batch",
    )
    axes.plot(rates, smoothed, color=palette.series[0], linewidth=1.8, label="Smoothed")
    axes.axvline(
        record.steepest_rate,
        color=palette.series[1],
        linewidth=1.4,
        linestyle=(0, (4, 2)),
        label=f"Suggested: {record.suggested_rate:g}",
    )
    axes.axvline(
        record.default_rate,
        color=palette.ink,
        linewidth=1,
        linestyle=(0, (1, 2)),
        label=f"The training's own: {record.default_rate:g}",
    )
    # A diverged end would press the part that matters flat.
    lowest, start = min(smoothed), smoothed[0]
    axes.set_ylim(lowest - 0.15 * (start - lowest), start + 0.6 * (start - lowest))
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4)
    return figure
