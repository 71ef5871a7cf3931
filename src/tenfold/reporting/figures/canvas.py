"""The ground every figure is drawn on: palettes, style, and the way to SVG and PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tenfold.core.text import escaped

WIDTH_PX = 720
"""Width of every figure; the page's text column is as wide."""

FONT_PX = 12
SMALL_FONT_PX = 10.5
_UNITS_PER_INCH = 72  # matplotlib's SVG unit is the point, which the browser shows as a pixel


@dataclass(frozen=True)
class Palette:
    """Colours by their role.

    The series colours are from Okabe and Ito's set, which people with any common colour blindness
    can tell apart (https://jfly.uni-koeln.de/color/).
    """

    ink: str
    muted: str
    grid: str
    surface: str
    """The page's own ground, behind hollow markers."""
    series: tuple[str, str, str]
    heat: str = "#1d56ad"
    """Cells of a matrix, by opacity: readable on a white and on a black page."""
    on_heat: str = "#ffffff"


LIGHT = Palette("#1d1f21", "#5d646b", "#d9dde1", "#ffffff", ("#0072b2", "#d55e00", "#009e73"))
"""For PNG files, which cannot follow the reader's mode."""

PLACEHOLDERS = Palette(
    "#010101", "#020202", "#030303", "#040404", ("#0a0001", "#0a0002", "#0a0003")
)
"""Colours that occur nowhere else; `figures.svg` replaces each by the page's CSS variable."""

CSS_VARIABLES = {
    PLACEHOLDERS.ink: "var(--ink)",
    PLACEHOLDERS.muted: "var(--muted)",
    PLACEHOLDERS.grid: "var(--grid)",
    PLACEHOLDERS.surface: "var(--surface)",
    PLACEHOLDERS.series[0]: "var(--series-1)",
    PLACEHOLDERS.series[1]: "var(--series-2)",
    PLACEHOLDERS.series[2]: "var(--series-3)",
}

Draw = Callable[[Palette], Figure]
"""A figure function with its data bound."""


def new_figure(height_px: float, width_px: float = WIDTH_PX) -> Figure:
    """Give an empty figure, laid out so that labels never run into each other."""
    return Figure(
        figsize=(width_px / _UNITS_PER_INCH, height_px / _UNITS_PER_INCH), layout="constrained"
    )


def round_ticks(most: int, *, integer: bool = False) -> MaxNLocator:
    """Put at most `most` steps on an axis, each 1, 2 or 5 times a power of ten."""
    return MaxNLocator(most, steps=[1, 2, 5, 10], integer=integer, min_n_ticks=1)


def svg_text(draw: Draw) -> str:
    """Draw with placeholder colours and give matplotlib's SVG, the same for the same data."""
    with _style(PLACEHOLDERS):
        figure = draw(PLACEHOLDERS)
        FigureCanvasSVG(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
        # What XML does not allow may stand in a name that a figure shows.
        return escaped(text.getvalue())


def png_bytes(draw: Draw) -> bytes:
    """Draw in light colours on white, at twice the page's resolution."""
    with _style(LIGHT):
        figure = draw(LIGHT)
        FigureCanvasAgg(figure)
        content = io.BytesIO()
        figure.savefig(
            content,
            format="png",
            dpi=2 * _UNITS_PER_INCH,
            facecolor=LIGHT.surface,
            metadata={"Software": None},
        )
        return content.getvalue()


@contextmanager
def _style(palette: Palette) -> Iterator[None]:
    style: Any = {
        "axes.axisbelow": True,
        "axes.edgecolor": palette.muted,
        "axes.facecolor": "none",
        "axes.labelcolor": palette.muted,
        "axes.labelsize": SMALL_FONT_PX,
        "axes.linewidth": 0.8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": FONT_PX,
        "axes.titleweight": "bold",
        "axes.unicode_minus": True,
        "figure.facecolor": "none",
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout everywhere
        "font.size": FONT_PX,
        "grid.color": palette.grid,
        "grid.linewidth": 0.8,
        "image.composite_image": False,  # keep images at their own resolution
        "legend.fontsize": SMALL_FONT_PX,
        "legend.frameon": False,
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "svg.hashsalt": "tenfold",
        "text.color": palette.ink,
        "text.parse_math": False,  # a class may be called "$x$"
        "xtick.color": palette.muted,
        "xtick.labelsize": SMALL_FONT_PX,
        "ytick.color": palette.muted,
        "ytick.labelsize": SMALL_FONT_PX,
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # Only the layout is measured with this font; the browser has the glyphs that it lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
