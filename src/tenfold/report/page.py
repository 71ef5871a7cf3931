"""The report: one self-contained HTML page, and its figures as files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tenfold.core.files import write_bytes, write_text
from tenfold.core.run_folder import Manifest
from tenfold.core.stages import shown_stages
from tenfold.evaluation.scores import Imbalance, is_imbalanced
from tenfold.report import reproduction
from tenfold.report.figures.canvas import (
    ReportFigure,
    inline_svg,
    png_bytes,
    standalone_svg,
    svg_text,
)
from tenfold.report.findings import data, evaluation, reliability, training, tuning
from tenfold.report.plots import report_figures
from tenfold.report.recommendations import recommendations
from tenfold.report.records import StudyRecords
from tenfold.report.wording import Numbering, page_environment

_SECTIONS = (
    ("introduction", "Introduction"),
    ("data-preparation", "Data preparation"),
    ("exploration", "Exploratory data analysis"),
    ("modeling", "Modeling"),
    ("training", "Model training"),
    ("evaluation", "Model evaluation and prediction"),
    ("cross-validation", "K-fold cross-validation"),
    ("audit", "Data audit"),
    ("conclusions", "Conclusions"),
    ("reproduction", "Reproduction of the original"),
    ("provenance", "Provenance"),
)
"""Identifier and title, in the original's order; reproduction only where there is an original."""


def render_page(records: StudyRecords) -> str:
    """Give the report as one HTML page that refers to nothing outside itself.

    The same records give the same text.

    Raises
    ------
    SettingsError
        If a reference points to a measure that does not exist.
    """
    figures = report_figures(records)
    return page_html(records, figures, {name: svg_text(f.draw) for name, f in figures.items()})


def write_report(records: StudyRecords, folder: Path) -> Path:
    """Write ``report.html`` and each figure as ``figures/NAME.svg`` and ``figures/NAME.png``.

    Every file is whole or not there; the page is written last.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    SettingsError
        If a reference points to a measure that does not exist.
    StorageError
        If the disk is full, read-only or not permitted.
    """
    figures = report_figures(records)
    drawn = {name: svg_text(figure.draw) for name, figure in figures.items()}
    page = page_html(records, figures, drawn)
    for name, figure in figures.items():
        text = standalone_svg(drawn[name], name=name, description=figure.description)
        write_text(folder / "figures" / f"{name}.svg", text)
        write_bytes(folder / "figures" / f"{name}.png", png_bytes(figure.draw))
    path = folder / "report.html"
    write_text(path, page)
    return path


def page_html(
    records: StudyRecords, figures: dict[str, ReportFigure], drawn: dict[str, str]
) -> str:
    """Give the page with the figures as `svg_text` drew them."""
    inline = {
        name: Markup(inline_svg(text, name=name, description=figures[name].description))
        for name, text in drawn.items()
    }
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(**_context(records), figures=figures, inline=inline)
    )


def _context(records: StudyRecords) -> dict[str, Any]:
    """Give what templates use: the records, and the modules whose functions give facts of them."""
    sections = [
        section for section in _SECTIONS if section[0] != "reproduction" or records.references
    ]
    manifests = records.manifests
    return {
        "records": records,
        "data": data,
        "evaluation": evaluation,
        "reliability": reliability,
        "reproduction": reproduction,
        "training": training,
        "tuning": tuning,
        "is_imbalanced": is_imbalanced(records.acquire),
        "train_imbalance": Imbalance.of(records.acquire.train_counts),
        "recommendations": recommendations(records),
        "stages": shown_stages(),
        "devices": list(dict.fromkeys(manifest.device for manifest in manifests.values())),
        "finished_on": _finished_on(manifests),
        "library_versions": _library_versions(manifests),
        "total_seconds": sum(manifest.seconds for manifest in manifests.values()),
        "command": partial(_stage_command, records.run_folder),
        "sections": sections,
        "section_number": {name: place for place, (name, _) in enumerate(sections, 1)},
        "section_title": dict(sections),
        "numbering": Numbering(),
    }


def _finished_on(manifests: Mapping[str, Manifest]) -> str:
    """Give the day on which the last stage was begun, for example ``7 February 2025``."""
    days = []
    for manifest in manifests.values():
        try:
            days.append(datetime.fromisoformat(manifest.started))
        except ValueError:
            continue
    if not days:
        return ""
    last = max(days, key=lambda day: day.isoformat())
    # The month by hand: strftime's depends on the reader's locale.
    return f"{last.day} {_MONTHS[last.month - 1]} {last.year}"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _library_versions(manifests: Mapping[str, Manifest]) -> dict[str, dict[str, list[str]]]:
    """Give each library's versions, and of each version the stages that ran with it."""
    found: dict[str, dict[str, list[str]]] = {}
    for manifest in manifests.values():
        for library, version in manifest.versions.items():
            found.setdefault(library, {}).setdefault(version, []).append(manifest.stage)
    return dict(sorted(found.items()))


def _stage_command(run_folder: Path, stage: str) -> str:
    """Give the command that runs a stage of a study."""
    return f"tenfold {stage} --out {shlex.quote(str(run_folder))}"
