"""What each ingredient of a recipe brings, with its intervals."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tenfold.core.files import write_bytes, write_text
from tenfold.core.records.ablation import AblatedVariant, AblationRecord
from tenfold.reporting.ablation_text import caption
from tenfold.reporting.figures.canvas import Palette, new_figure, png_bytes, round_ticks, svg_text
from tenfold.reporting.figures.svg import standalone_svg
from tenfold.reporting.formats import shorten

_ROW_PX = 30
_TITLE_CHARACTERS = 44


def draw_ablation(record: AblationRecord, palette: Palette) -> Figure:
    """Draw a row an ingredient: its mean difference, both intervals, and each seed's difference."""
    variants = record.variants
    figure = new_figure(_ROW_PX * len(variants) + 120)
    axes = figure.add_subplot()
    axes.axvline(0, color=palette.muted, linewidth=1, linestyle=(0, (3, 3)))
    for place, variant in enumerate(variants):
        _draw_row(axes, place, variant, palette, is_labelled=place == 0)
    names = [shorten(variant.title, _TITLE_CHARACTERS) for variant in variants]
    axes.set_yticks(range(len(names)), names, color=palette.ink)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
    axes.xaxis.set_major_locator(round_ticks(7))
    axes.margins(x=0.06)
    axes.set_xlabel("What it brings: percentage points of accuracy on held-out images")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


def write_figure(record: AblationRecord, folder: Path) -> None:
    """Write ``ablation.svg`` and ``ablation.png``."""
    draw = partial(draw_ablation, record)
    words = f"Forest plot. {caption(record)}. {' '.join(record.sentences)}"
    svg = standalone_svg(svg_text(draw), name="ablation", description=words)
    write_text(folder / "ablation.svg", svg)
    write_bytes(folder / "ablation.png", png_bytes(draw))


def _draw_row(
    axes: Axes, place: int, variant: AblatedVariant, palette: Palette, *, is_labelled: bool
) -> None:
    def label(text: str) -> str:
        return text if is_labelled else "_nolegend_"

    if variant.seed_interval is not None:
        axes.hlines(
            place,
            100 * variant.seed_interval.low,
            100 * variant.seed_interval.high,
            color=palette.muted,
            linewidth=1.2,
            label=label("95% over other seeds"),
        )
    if variant.interval is not None:
        axes.hlines(
            place,
            100 * variant.interval.low,
            100 * variant.interval.high,
            color=palette.series[0],
            linewidth=4,
            alpha=0.55,
            label=label("95% over other images"),
        )
    axes.plot(
        [100 * value for value in variant.differences],
        [place] * len(variant.differences),
        linestyle="none",
        marker="|",
        markersize=9,
        color=palette.series[1],
        label=label("Each seed"),
        zorder=3,
    )
    axes.plot(
        [100 * (variant.difference or 0.0)],
        [place],
        linestyle="none",
        marker="o",
        markersize=7,
        markerfacecolor=palette.series[0],
        markeredgecolor=palette.surface,
        label=label("Mean"),
        zorder=4,
    )
