"""What all figures share: one style, and SVG that follows the page's theme."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tenfold.core.record import Interval
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


Draw = Callable[[Palette], Figure]
"""A figure function with its data bound."""


@dataclass(frozen=True)
class ReportFigure:
    """One figure of the report.

    Parameters
    ----------
    name
        File name without ending, and prefix of the ids in it.
    draw
        Draws it with a palette.
    caption
        Shown below it.
    description
        What it shows, in words, for those who cannot see it.
    """

    name: str
    draw: Draw
    caption: str
    description: str


def new_figure(height_px: float, width_px: float = WIDTH_PX) -> Figure:
    """Give an empty figure, laid out so that labels never run into each other."""
    return Figure(
        figsize=(width_px / _UNITS_PER_INCH, height_px / _UNITS_PER_INCH), layout="constrained"
    )


def round_ticks(most: int, *, integer: bool = False) -> MaxNLocator:
    """Put at most `most` steps on an axis, each 1, 2 or 5 times a power of ten."""
    return MaxNLocator(most, steps=[1, 2, 5, 10], integer=integer, min_n_ticks=1)


def draw_interval_rows(
    axes: Axes,
    names: list[str],
    values: list[float],
    intervals: list[Interval],
    *,
    colours: list[str],
    palette: Palette,
) -> None:
    """Draw one dot a row, in percent, with its interval (given as a share), the first on top."""
    places = range(len(names))
    for place, value, ends, colour in zip(places, values, intervals, colours, strict=True):
        axes.hlines(place, 100 * ends.low, 100 * ends.high, color=colour, linewidth=2, alpha=0.55)
        axes.plot(
            [value],
            [place],
            marker="o",
            markersize=7,
            markerfacecolor=colour,
            markeredgecolor=palette.surface,
            markeredgewidth=0.8,
            zorder=3,
        )
    axes.set_yticks(places, names, color=palette.ink)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
    axes.xaxis.set_major_locator(round_ticks(7))
    axes.margins(x=0.08)


_LIGHT = Palette("#1d1f21", "#5d646b", "#d9dde1", "#ffffff", ("#0072b2", "#d55e00", "#009e73"))
"""For PNG files, which cannot follow the reader's mode."""

PLACEHOLDERS = Palette(
    "#010101", "#020202", "#030303", "#040404", ("#0a0001", "#0a0002", "#0a0003")
)
"""Colours that occur nowhere else; a figure's SVG gets the page's CSS variable for each."""

CSS_VARIABLES = {
    PLACEHOLDERS.ink: "var(--ink)",
    PLACEHOLDERS.muted: "var(--muted)",
    PLACEHOLDERS.grid: "var(--grid)",
    PLACEHOLDERS.surface: "var(--surface)",
    PLACEHOLDERS.series[0]: "var(--series-1)",
    PLACEHOLDERS.series[1]: "var(--series-2)",
    PLACEHOLDERS.series[2]: "var(--series-3)",
}


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
    with _style(_LIGHT):
        figure = draw(_LIGHT)
        FigureCanvasAgg(figure)
        content = io.BytesIO()
        figure.savefig(
            content,
            format="png",
            dpi=2 * _UNITS_PER_INCH,
            facecolor=_LIGHT.surface,
            metadata={"Software": None},
            pil_kwargs={"compress_level": 3},  # a few per cent larger, and in half the time
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


_SVG = "http://www.w3.org/2000/svg"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
_FONT = "ui-sans-serif, system-ui, sans-serif"

_THEME = """\
:root{--ink:#1d1f21;--muted:#5d646b;--grid:#d9dde1;--surface:#fff;\
--series-1:#0072b2;--series-2:#d55e00;--series-3:#009e73}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e8e6e1;--muted:#a3a9b0;--grid:#33383d;\
--surface:#15171a;--series-1:#56b4e9;--series-2:#f2945a;--series-3:#3cc79b}}"""
"""The variables that figures refer to, for a file of its own; the page's style sheet has the
same."""


def inline_svg(text: str, *, name: str, description: str) -> str:
    """Give an ``<svg>`` element for an HTML page.

    Parameters
    ----------
    text
        What matplotlib wrote.
    name
        Prefix of all ids, unique on the page.
    description
        What the figure shows, for those who cannot see it.
    """
    return _serialized(_clean(text, name, description))


def standalone_svg(text: str, *, name: str, description: str) -> str:
    """Give an SVG file that follows the reader's light or dark mode by itself."""
    root = _clean(text, name, description)
    root.set("xmlns", _SVG)
    width, height = root.get("viewBox", "0 0 0 0").split()[2:]
    root.set("width", width)
    root.set("height", height)
    root.set("font-family", _FONT)
    style = ElementTree.Element("style")
    style.text = _THEME
    root.insert(0, style)
    return _serialized(root) + "\n"


def _clean(text: str, name: str, description: str) -> ElementTree.Element:
    # The text is matplotlib's own, not a stranger's: entity tricks cannot occur in it.
    root = ElementTree.fromstring(text)
    _drop(root, {"metadata", "style"})
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        _clean_attributes(element, name, used)
    for unwanted in ("width", "height", "version"):
        root.attrib.pop(unwanted, None)
    # matplotlib sets these by a style rule for everything, which would reach the whole page.
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")
    root.set("role", "img")
    root.set("aria-label", description)
    return root


def _drop(root: ElementTree.Element, tags: set[str]) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in tags:
                parent.remove(child)


def _clean_attributes(element: ElementTree.Element, name: str, used: set[str]) -> None:
    attributes = dict(element.attrib)
    element.attrib.clear()
    for key, value in attributes.items():
        if key == "id":
            if value in used:
                element.set("id", f"{name}-{value}")
        elif key == _XLINK_HREF:
            element.set("href", f"#{name}-{value[1:]}" if value.startswith("#") else value)
        else:
            element.set(key.rpartition("}")[2], _themed(value, name))


def _themed(value: str, name: str) -> str:
    for placeholder, variable in CSS_VARIABLES.items():
        value = value.replace(placeholder, variable)
    value = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", value)
    return re.sub(r"font(-family)?:([^;]*?)\s*'DejaVu Sans'[^;]*", _page_font, value)


def _page_font(match: re.Match[str]) -> str:
    """Let text take the page's font: ``font: 10px 'DejaVu Sans', ...`` becomes the size alone."""
    if match.group(1):
        return "font-family: inherit"
    parts = match.group(2).split()
    size = next((part for part in parts if part.endswith("px")), "12px")
    weight = " font-weight: bold;" if "bold" in parts or "700" in parts else ""
    return f"{weight} font-size: {size}".strip()


def _serialized(root: ElementTree.Element) -> str:
    text = ElementTree.tostring(root, encoding="unicode")
    return re.sub(r">\s+<", "><", text).strip()
