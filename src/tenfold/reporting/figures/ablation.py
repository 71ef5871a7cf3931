"""What each ingredient is worth, with its interval."""

from __future__ import annotations

from matplotlib.figure import Figure

from tenfold.core.records.tuning import AblationRecord
from tenfold.reporting.figures.canvas import Palette, new_figure
from tenfold.reporting.figures.interval_rows import draw_interval_rows

_ROW_PX = 28


def draw_ablation(record: AblationRecord, palette: Palette) -> Figure:
    """Draw the accuracy lost without each ingredient; gray where nought is within the interval."""
    ablated = record.ablated
    figure = new_figure(_ROW_PX * len(ablated) + 90)
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
