"""The scores of the folds, protocol beside protocol, with the test result."""

from __future__ import annotations

from matplotlib.figure import Figure

from tenfold.core.records.evaluation import CrossValidateRecord, EvaluateRecord
from tenfold.reporting.figures.canvas import Palette, new_figure
from tenfold.reporting.measures import MACRO_SCORES, SCORE_TITLES

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
