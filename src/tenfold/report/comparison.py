"""A comparison's page: two or more studies beside each other."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from tenfold.core.files import write_text
from tenfold.core.records.evaluation import Comparison
from tenfold.report.figures.canvas import (
    Palette,
    ReportFigure,
    draw_interval_rows,
    inline_svg,
    new_figure,
    standalone_svg,
    svg_text,
)
from tenfold.report.findings.comparison import finding, is_clear, verdict
from tenfold.report.formats import shorten
from tenfold.report.page import Numbering
from tenfold.report.wording import page_environment

_NAME = "comparison"


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the page (.html) or the picture alone (.svg), whole or not at all.

    Raises
    ------
    StorageError
        If the disk is full, read-only or not permitted.
    """
    drawn = svg_text(partial(draw_comparison, comparison))
    description = f"Dot plots of accuracies and their differences. {verdict(comparison)}"
    if path.suffix == ".svg":
        write_text(path, standalone_svg(drawn, name=_NAME, description=description))
        return
    environment = page_environment()
    svg = inline_svg(drawn, name=_NAME, description=description)
    figure = ReportFigure(
        _NAME,
        partial(draw_comparison, comparison),
        "Accuracy of each study, and the difference of each pair with its interval.",
        description,
    )
    page = environment.get_template("comparison.html.j2").render(
        comparison=comparison,
        finding=finding(comparison),
        is_clear=is_clear,
        numbering=Numbering(),
        figures={_NAME: figure},
        inline={_NAME: environment.filters["markup"](svg)},
    )
    write_text(path, page)


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
