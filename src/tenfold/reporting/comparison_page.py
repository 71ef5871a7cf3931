"""A comparison of studies as one self-contained page, and as a picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tenfold.core.files import write_text
from tenfold.core.records.evaluation import Comparison
from tenfold.reporting.figures.canvas import svg_text
from tenfold.reporting.figures.comparison import draw_comparison
from tenfold.reporting.figures.svg import inline_svg, standalone_svg
from tenfold.reporting.interpretation_comparison import finding, is_clear, verdict
from tenfold.reporting.page import Numbering
from tenfold.reporting.report_figure import ReportFigure
from tenfold.reporting.wording import page_environment

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
