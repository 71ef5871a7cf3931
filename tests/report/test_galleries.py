"""Figures that show images."""

from __future__ import annotations

from tenfold.report.figures.canvas import svg_text
from tenfold.report.galleries import figures_of_audit
from tenfold.report.records import StudyRecords


def test_every_kind_of_finding_has_its_figure(real_study: StudyRecords) -> None:
    figures = {figure.name: figure for figure in figures_of_audit(real_study)}
    assert list(figures) == [
        "label-issues-train",
        "label-issues-test",
        "duplicates-leaks",
        "duplicates-conflicts",
    ]
    assert "light or red" in svg_text(figures["duplicates-conflicts"].draw)
    assert "gray?" in svg_text(figures["label-issues-test"].draw)
