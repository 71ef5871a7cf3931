"""Studies beside each other: which is the best and how sure that is, as text, page and picture.

Matplotlib, which is slow to import, is so only where a picture is drawn: a reader of the text does
not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from tenfold.core.files import write_text
from tenfold.core.records.evaluation import ComparedPair, ComparedRun, Comparison
from tenfold.core.text import printable
from tenfold.report.formats import few_images, shorten
from tenfold.report.wording import Numbering, page_environment, rendered_text, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tenfold.report.figures.canvas import Palette

_SIGNIFICANCE = 0.05
"""Adjusted p-value below which two studies are called different."""


@dataclass(frozen=True)
class Finding:
    """Which of several studies is the best, and how sure that is."""

    best: ComparedRun
    rivals: tuple[str, ...]
    """Those that cannot be told from it."""
    has_clear_pairs: bool
    """Whether any two studies can be told apart."""


def finding(comparison: Comparison) -> Finding:
    """Say which study is the best."""
    best = max(comparison.runs, key=lambda run: run.accuracy)
    rivals = [
        pair.second if pair.first == best.name else pair.first
        for pair in comparison.pairs
        if best.name in (pair.first, pair.second) and not is_clear(pair)
    ]
    return Finding(best, tuple(rivals), any(map(is_clear, comparison.pairs)))


def is_clear(pair: ComparedPair) -> bool:
    """Say whether chance is an unlikely explanation of a pair's difference."""
    return pair.adjusted_p_value < _SIGNIFICANCE


def verdict(comparison: Comparison) -> str:
    """Sum a comparison up in one or two sentences."""
    return words("comparison", "verdict", comparison, finding(comparison), is_clear)


def comparison_text(comparison: Comparison) -> str:
    """Give the comparison as plain text for a terminal."""
    pairs = [f"{printable(pair.first)} − {printable(pair.second)}" for pair in comparison.pairs]
    return rendered_text(
        "comparison.txt.j2",
        comparison=comparison,
        finding=finding(comparison),
        is_clear=is_clear,
        pair_names=pairs,
        name_width=max(len("study"), *(len(printable(run.name)) for run in comparison.runs)),
        pair_width=max(len("pair"), *map(len, pairs)),
    )


_NAME = "comparison"


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the page (.html) or the picture alone (.svg), whole or not at all.

    Raises
    ------
    StorageError
        If the disk is full, read-only or not permitted.
    """
    from tenfold.report.figures.canvas import ReportFigure, inline_svg, standalone_svg, svg_text

    figure = ReportFigure(
        _NAME,
        partial(draw_comparison, comparison),
        "Accuracy of each study, and the difference of each pair with its interval.",
        f"Dot plots of accuracies and their differences. {verdict(comparison)}",
    )
    drawn = svg_text(figure.draw)
    if path.suffix == ".svg":
        write_text(path, standalone_svg(drawn, name=_NAME, description=figure.description))
        return
    svg = inline_svg(drawn, name=_NAME, description=figure.description)
    page = (
        page_environment()
        .get_template("comparison.html.j2")
        .render(
            comparison=comparison,
            finding=finding(comparison),
            is_clear=is_clear,
            numbering=Numbering(),
            figures={_NAME: figure},
            inline={_NAME: Markup(svg)},
        )
    )
    write_text(path, page)


_ROW_PX = 26
_NAME_CHARACTERS = 24
_PAIR_CHARACTERS = 18


def draw_comparison(comparison: Comparison, palette: Palette) -> Figure:
    """Draw each study's accuracy with its interval, and below it each pair's difference."""
    from tenfold.report.figures.canvas import draw_interval_rows, new_figure

    runs, pairs = comparison.runs, comparison.pairs
    figure = new_figure(_ROW_PX * (len(runs) + len(pairs)) + 190)
    above, below = figure.subplots(
        2, 1, gridspec_kw={"height_ratios": [len(runs) + 1, len(pairs) + 1]}
    )
    few = few_images(comparison.test_count)
    above.set_title(f"Accuracy, 95% intervals{f' ({few})' if few else ''}")
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
