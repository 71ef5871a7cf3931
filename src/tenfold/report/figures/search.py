"""Figures of a search, a sweep of the learning rate and an ablation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from tenfold.core.records.training import RateSweepRecord
from tenfold.core.records.tuning import (
    AblationRecord,
    ParameterValue,
    SearchDimension,
    TrialRecord,
    TuneRecord,
)
from tenfold.report.figures.canvas import (
    FONT_PX,
    Palette,
    draw_interval_rows,
    new_figure,
    round_ticks,
)
from tenfold.report.formats import number, percent, setting_name, setting_value, shorten


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


_MOST_SLICES = 4
_SLICE_COLUMNS = 2


def slice_dimensions(record: TuneRecord) -> list[SearchDimension]:
    """Give the settings whose slices matter, at most four: those that explain most.

    Those of the best trial's model come first where the search was over several; without
    importances the first ones that the best trial has. A setting of one value has no slice.
    """
    shares = {**(record.model_importances or {}), **(record.importances or {})}
    model = record.best_parameters.get("model.name")
    own = [
        one
        for one in record.space
        if one.name in record.best_parameters
        and one.model in {None, model}
        and len({str(trial.parameters.get(one.name)) for trial in _having(one, record)}) > 1
    ]
    ordered = sorted(own, key=lambda one: -shares.get(one.name, 0.0))
    return ordered[:_MOST_SLICES]


def draw_slices(record: TuneRecord, palette: Palette) -> Figure:
    """Draw a panel a setting; all share the axis of accuracy."""
    dimensions = slice_dimensions(record)
    rows = -(-len(dimensions) // _SLICE_COLUMNS)
    figure = new_figure(210 * rows + 40)
    panels = figure.subplots(rows, _SLICE_COLUMNS, sharey=True, squeeze=False).ravel()
    for axes, dimension in zip(panels, dimensions, strict=False):
        _draw_slice(axes, dimension, record, palette)
    for axes in panels[len(dimensions) :]:
        axes.set_visible(False)
    for axes in panels[::_SLICE_COLUMNS]:
        axes.set_ylabel("Validation accuracy")
    handles: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower left", ncols=3)
    return figure


def _draw_slice(
    axes: Axes, dimension: SearchDimension, record: TuneRecord, palette: Palette
) -> None:
    choices = _choices(dimension, record)
    trials = _having(dimension, record)
    complete = [trial for trial in trials if trial.state == "complete"]
    pruned = [trial for trial in trials if trial.state == "pruned"]
    best = [trial for trial in complete if trial.number == record.best_number]
    for some, label, style in (
        (pruned, "Pruned trial (when it was stopped)", ("v", palette.surface, palette.muted, 6)),
        (complete, "Complete trial", ("o", palette.series[0], palette.surface, 7)),
        (best, "Best trial", ("D", palette.series[1], palette.surface, 8)),
    ):
        points = [
            (_place(trial.parameters[dimension.name], choices), value)
            for trial in some
            if (value := trial.value if trial.value is not None else trial.last_value) is not None
        ]
        if not points:
            continue
        marker, face, edge, size = style
        axes.plot(
            *zip(*points, strict=True),
            linestyle="none",
            marker=marker,
            markersize=size,
            markerfacecolor=face,
            markeredgecolor=edge,
            label=label,
        )
    axes.grid(visible=True, axis="y")
    axes.set_title(shorten(setting_name(dimension.name), 40))
    if choices:
        names = [shorten(setting_value(choice), 11) for choice in choices]
        axes.set_xticks(range(len(choices)), names)
        axes.set_xlim(-0.5, len(choices) - 0.5)
    elif dimension.is_log:
        assert dimension.low is not None  # a range was checked before it was searched
        assert dimension.high is not None
        axes.set_xscale("log")
        ticks = _log_ticks(dimension.low, dimension.high)
        axes.set_xticks(ticks, [number(tick) for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(dimension.low / 1.15, dimension.high * 1.15)
    else:
        axes.xaxis.set_major_locator(round_ticks(6))


def _log_ticks(low: float, high: float) -> list[float]:
    """Give powers of ten in a range, with their 2- and 5-fold where it is short."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    multiples = (1, 2, 5) if high / low < 100 else (1,)
    ticks = [float(f"{multiple}e{power}") for power in powers for multiple in multiples]
    return [tick for tick in ticks if low / 1.01 <= tick <= high * 1.01] or [low, high]


def _having(dimension: SearchDimension, record: TuneRecord) -> list[TrialRecord]:
    """Give the trials that drew a value of this dimension and were not failures."""
    return [
        trial
        for trial in record.trials
        if dimension.name in trial.parameters
        and trial.state != "failed"
        and dimension.model in {None, trial.parameters.get("model.name")}
    ]


def _choices(dimension: SearchDimension, record: TuneRecord) -> Sequence[ParameterValue]:
    if dimension.choices is None:
        return ()
    used = [trial.parameters[dimension.name] for trial in _having(dimension, record)]
    return [choice for choice in dimension.choices if choice in used]


def _place(value: ParameterValue, choices: Sequence[ParameterValue]) -> float:
    return float(choices.index(value)) if choices else float(value)


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
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


def draw_ablation(record: AblationRecord, palette: Palette) -> Figure:
    """Draw the accuracy lost without each ingredient; gray where nought is within the interval."""
    ablated = record.ablated
    figure = new_figure(28 * len(ablated) + 90)
    axes = figure.subplots()
    axes.axvline(0, color=palette.muted, linewidth=1, linestyle=(0, (3, 3)))
    draw_interval_rows(
        axes,
        [scores.ingredient.title for scores in ablated],
        [100 * scores.effect for scores in ablated],
        [scores.interval for scores in ablated],
        colours=[
            palette.muted if scores.interval.holds(0) else palette.series[0] for scores in ablated
        ],
        palette=palette,
    )
    axes.set_title("Accuracy lost without the ingredient, 95% intervals")
    axes.set_xlabel("Percentage points; gray: not distinguishable from none")
    return figure
