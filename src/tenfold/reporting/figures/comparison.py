"""Accuracies of studies, and the differences of every pair."""

from __future__ import annotations

from matplotlib.figure import Figure

from tenfold.core.records.evaluation import Comparison
from tenfold.reporting.figures.canvas import Palette, new_figure
from tenfold.reporting.figures.interval_rows import draw_interval_rows
from tenfold.reporting.formats import shorten
from tenfold.reporting.interpretation_comparison import is_clear

_ROW_PX = 26
_NAME_CHARACTERS = 24
_PAIR_CHARACTERS = 18


def draw_comparison(comparison: Comparison, palette: Palette) -> Figure:
    """Draw each study's accuracy with its interval, and below it each pair's difference."""
    runs, pairs = comparison.runs, comparison.pairs
    figure = new_figure(_ROW_PX * (len(runs) + len(pairs)) + 190)
    above, below = figure.subplots(
        2, 1, gridspec_kw={"height_ratios": [len(runs) + 1, len(pairs) + 1]}
    )
    above.set_title("Accuracy, 95% intervals")
    draw_interval_rows(
        above,
        [shorten(run.name, _NAME_CHARACTERS) for run in runs],
        [100 * run.accuracy for run in runs],
        [run.interval for run in runs],
        colours=[palette.series[0]] * len(runs),
        palette=palette,
    )
    above.set_xlabel("Accuracy (%)")
    below.set_title("Difference of each pair, 95% intervals")
    below.axvline(0, color=palette.muted, linewidth=1, linestyle=(0, (3, 3)))
    draw_interval_rows(
        below,
        [
            f"{shorten(pair.first, _PAIR_CHARACTERS)} − {shorten(pair.second, _PAIR_CHARACTERS)}"
            for pair in pairs
        ],
        [100 * pair.difference for pair in pairs],
        [pair.interval for pair in pairs],
        colours=[palette.series[0] if is_clear(pair) else palette.muted for pair in pairs],
        palette=palette,
    )
    below.set_xlabel("Percentage points; gray: not distinguishable")
    return figure
