"""Slices of a search: each trial's accuracy over the value of one setting."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from tenfold.core.records.tuning import ParameterValue, SearchDimension, TrialRecord, TuneRecord
from tenfold.reporting.figures.canvas import Palette, new_figure, round_ticks
from tenfold.reporting.formats import number, setting_name, setting_value, shorten

_MOST_SLICES = 4
_COLUMNS = 2
_ROW_PX = 210
_MOST_CHOICE_CHARACTERS = 11


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
    rows = -(-len(dimensions) // _COLUMNS)
    figure = new_figure(_ROW_PX * rows + 40)
    panels = figure.subplots(rows, _COLUMNS, sharey=True, squeeze=False).ravel()
    for axes, dimension in zip(panels, dimensions, strict=False):
        _draw_panel(axes, dimension, record, palette)
    for axes in panels[len(dimensions) :]:
        axes.set_visible(False)
    for axes in panels[::_COLUMNS]:
        axes.set_ylabel("Validation accuracy")
    handles: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower left",
        ncols=3,
    )
    return figure


def _draw_panel(
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
        names = [shorten(setting_value(choice), _MOST_CHOICE_CHARACTERS) for choice in choices]
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
