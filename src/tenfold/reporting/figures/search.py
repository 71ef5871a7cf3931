"""The hyperparameter search: what each trial reached, and which settings mattered."""

from __future__ import annotations

from itertools import accumulate

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tenfold.core.records.tuning import TuneRecord
from tenfold.reporting.figures.canvas import FONT_PX, Palette, new_figure, round_ticks
from tenfold.reporting.formats import percent, setting_name, shorten


def draw_search_history(record: TuneRecord, palette: Palette) -> Figure:
    """Draw each trial's validation accuracy in order, its executions, and the best so far."""
    figure = new_figure(290)
    axes = figure.add_subplot()
    executions = [
        (trial.number, value)
        for trial in record.trials
        if len(trial.execution_values) > 1
        for value in trial.execution_values
    ]
    if executions:
        axes.plot(
            *zip(*executions, strict=True),
            linestyle="none",
            marker="_",
            markersize=9,
            color=palette.muted,
            label="Single execution",
        )
    complete = [(t.number, t.value) for t in record.trials if t.state == "complete" and t.value]
    if complete:
        numbers, values = zip(*complete, strict=True)
        axes.step(
            [*numbers, max(trial.number for trial in record.trials)],
            [*accumulate(values, max), max(values)],
            where="post",
            color=palette.series[2],
            linewidth=1.4,
            label="Best so far",
        )
        axes.plot(
            numbers,
            values,
            linestyle="none",
            marker="o",
            markersize=7,
            color=palette.series[0],
            label="Complete trial (mean)",
        )
    pruned = [(t.number, t.last_value) for t in record.trials if t.state == "pruned"]
    pruned = [(trial, value) for trial, value in pruned if value is not None]
    if pruned:
        axes.plot(
            *zip(*pruned, strict=True),
            linestyle="none",
            marker="v",
            markersize=6,
            markerfacecolor=palette.surface,
            markeredgecolor=palette.series[1],
            label="Pruned trial (when it was stopped)",
        )
    if failed := [trial.number for trial in record.trials if trial.state == "failed"]:
        axes.plot(
            failed,
            [axes.get_ylim()[0]] * len(failed),
            linestyle="none",
            marker="x",
            color=palette.series[1],
            label="Failed trial",
            clip_on=False,
        )
    axes.grid(visible=True, axis="y")
    axes.xaxis.set_major_locator(round_ticks(12, integer=True))
    axes.set_xlabel("Trial")
    axes.set_ylabel("Validation accuracy")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def draw_importances(importances: dict[str, float], palette: Palette) -> Figure:
    """Draw each setting's share in the variance of the objective, the largest at the top."""
    ordered = sorted(importances.items(), key=lambda item: (-item[1], item[0]))
    figure = new_figure(len(ordered) * 26 + 50)
    axes = figure.add_subplot()
    places = range(len(ordered))
    shares = [share for _, share in ordered]
    axes.barh(places, shares, height=0.55, color=palette.series[0], linewidth=0)
    for place, share in zip(places, shares, strict=True):
        axes.annotate(
            percent(share),
            (share, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=FONT_PX - 1,
            color=palette.ink,
        )
    axes.set_yticks(places, [shorten(setting_name(name), 28) for name, _ in ordered])
    for label in axes.get_yticklabels():
        label.set_color(palette.ink)
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, max([*shares, 0.01]) * 1.12)
    axes.xaxis.set_major_locator(round_ticks(8))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(visible=True, axis="x")
    axes.set_xlabel("Share of the variance")
    return figure
