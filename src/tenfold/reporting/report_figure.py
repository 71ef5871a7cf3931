"""What a figure of the report is."""

from __future__ import annotations

from dataclasses import dataclass

from tenfold.reporting.figures.canvas import Draw


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
