"""Figures with curves."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, PercentFormatter

from tenfold.core.records.evaluation import (
    CalibrationRecord,
    CalibrationScores,
    CorruptionScores,
    CrossValidateRecord,
    EvaluateRecord,
    RobustnessRecord,
)
from tenfold.core.records.training import TrainRecord
from tenfold.report.figures.canvas import Palette, new_figure, round_ticks
from tenfold.report.findings.evaluation import MACRO_SCORES, SCORE_TITLES
from tenfold.report.formats import score, shorten
from tenfold.report.reproduction import CurvePair


def draw_training_curves(record: TrainRecord, palette: Palette) -> Figure:
    """Draw accuracy and loss side by side, training against validation, the best epoch marked."""
    history = record.history
    epochs = [epoch.epoch for epoch in history]
    figure = new_figure(310)
    accuracy, loss = figure.subplots(1, 2)
    panels: tuple[tuple[Axes, str, list[float], list[float | None]], ...] = (
        (
            accuracy,
            "Accuracy",
            [epoch.train_accuracy for epoch in history],
            [epoch.validation_accuracy for epoch in history],
        ),
        (
            loss,
            "Loss",
            [epoch.train_loss for epoch in history],
            [epoch.validation_loss for epoch in history],
        ),
    )
    for axes, title, train, validation in panels:
        axes.set_title(title)
        axes.grid(visible=True, axis="y")
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(round_ticks(8, integer=True))
        _curve(axes, epochs, train, is_validation=False, palette=palette)
        measured = [(e, v) for e, v in zip(epochs, validation, strict=True) if v is not None]
        if measured:
            xs, ys = zip(*measured, strict=True)
            _curve(axes, xs, ys, is_validation=True, palette=palette)
        _mark_best(axes, record, dict(measured), palette)
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def _curve(
    axes: Axes,
    epochs: Sequence[int],
    values: Sequence[float],
    *,
    is_validation: bool,
    palette: Palette,
) -> None:
    # Line style and marker differ as well as colour: not everybody tells the colours apart.
    axes.plot(
        epochs,
        values,
        color=palette.series[1 if is_validation else 0],
        linestyle=(0, (4, 2)) if is_validation else "-",
        marker="s" if is_validation else "o",
        markersize=4 if len(epochs) <= 40 else 0,
        linewidth=1.8,
        label="Validation" if is_validation else "Training",
    )


def _mark_best(
    axes: Axes, record: TrainRecord, validation: dict[int, float], palette: Palette
) -> None:
    best = record.best_epoch
    if best is None or best not in validation:
        return
    axes.axvline(best, color=palette.muted, linewidth=0.9, linestyle=(0, (3, 3)))
    accuracy = next(e.validation_accuracy for e in record.history if e.epoch == best)
    axes.plot(
        [best],
        [validation[best]],
        linestyle="none",
        marker="o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor=palette.ink,
        markeredgewidth=1.4,
        label=f"Best epoch: {best} (validation accuracy {score(accuracy)})",
    )


def draw_calibration(record: CalibrationRecord, palette: Palette) -> Figure:
    """Draw accuracy against probability, before and after scaling, and against coverage."""
    figure = new_figure(350)
    reliability, coverage = figure.subplots(1, 2)
    _draw_reliability(reliability, record, palette)
    _draw_coverage(coverage, record, palette)
    figure.legend(*reliability.get_legend_handles_labels(), loc="outside lower left", ncols=3)
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


_TITLES = tuple(SCORE_TITLES[score] for score in MACRO_SCORES)


def draw_fold_scores(
    record: CrossValidateRecord, evaluate: EvaluateRecord | None, palette: Palette
) -> Figure:
    """Draw one dot a fold for each score, the mean as a line, the test result as a hollow mark."""
    protocols = record.protocols
    figure = new_figure(len(_TITLES) * (26 + 20 * len(protocols)) + 84)
    axes = figure.add_subplot()
    span = 0.24
    for index, protocol in enumerate(protocols):
        offset = (index - (len(protocols) - 1) / 2) * 2 * span
        colour = palette.series[index % len(palette.series)]
        places = [row + offset for row in range(len(_TITLES))]
        points = [
            (getattr(fold, score), place)
            for score, place in zip(MACRO_SCORES, places, strict=True)
            for fold in protocol.folds
        ]
        leak = ", a leak" if protocol.is_leaky else ""
        axes.plot(
            *zip(*points, strict=True),
            linestyle="none",
            marker="os^"[index % 3],
            markersize=8,
            markerfacecolor=colour,
            markeredgecolor=palette.surface,
            markeredgewidth=0.8,
            label=f"Fold ({protocol.name}{leak})",
        )
        if protocol.intervals:
            ends = [protocol.intervals[score] for score in MACRO_SCORES]
            axes.hlines(
                places,
                [interval.low for interval in ends],
                [interval.high for interval in ends],
                color=palette.ink,
                linewidth=1,
                alpha=0.6,
                label="95% interval of the mean",
            )
        axes.vlines(
            [protocol.means[score] for score in MACRO_SCORES],
            [place - span * 0.8 for place in places],
            [place + span * 0.8 for place in places],
            color=palette.ink,
            linewidth=1.8,
            label="Mean" if index == 0 else "_again",
        )
    if evaluate is not None:
        axes.plot(
            [getattr(evaluate.scores, score) for score in MACRO_SCORES],
            range(len(_TITLES)),
            linestyle="none",
            marker="D",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor=palette.series[2],
            markeredgewidth=1.6,
            label="Test split",
        )
    axes.set_yticks(range(len(_TITLES)), _TITLES)
    for label in axes.get_yticklabels():
        label.set_color(palette.ink)
    axes.set_ylim(len(_TITLES) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
    axes.set_xlabel("Score")
    axes.margins(x=0.05)
    figure.legend(loc="outside upper left", ncols=4)
    return figure


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
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


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
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
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
