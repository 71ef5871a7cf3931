"""The report: one self-contained HTML page, and its figures as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tenfold.core.files import write_bytes, write_text
from tenfold.core.stages import shown_stages
from tenfold.evaluation.scores import Imbalance, is_imbalanced
from tenfold.reporting.figures.canvas import png_bytes, svg_text
from tenfold.reporting.figures.svg import inline_svg, standalone_svg
from tenfold.reporting.headline import (
    agreement,
    devices,
    of_hundred,
    total_seconds,
    untested_classes,
)
from tenfold.reporting.imbalance import size_effect, validation_draw
from tenfold.reporting.interpretation_audit import (
    MANY_DUPLICATES,
    SMALL_PX,
    conflicts,
    flagged_share,
    had_copies_only,
    share_in_groups,
)
from tenfold.reporting.interpretation_calibration import (
    WANTED_ACCURACY,
    honesty,
    reaching,
    surest_half,
)
from tenfold.reporting.interpretation_cross_validation import (
    accuracy_margin,
    honest_protocol,
    leaky_protocol,
)
from tenfold.reporting.interpretation_data import (
    brightness_extremes,
    channel_facts,
    class_balances,
    contrast_extremes,
)
from tenfold.reporting.interpretation_evaluation import (
    against_guessing,
    confused_pairs,
    guessing_accuracy,
    imperfect_classes,
    leaning,
    recall_extremes,
    weakest_classes,
)
from tenfold.reporting.interpretation_gallery import SURE, doubts, likeness, mistakes
from tenfold.reporting.interpretation_repeats import RUN_SCORES, leading_score
from tenfold.reporting.interpretation_robustness import SENSITIVE_FALL, borne, sensitive_to
from tenfold.reporting.interpretation_tuning import (
    completed_trials,
    execution_spread,
    searched_names,
    trial_states,
)
from tenfold.reporting.measures import MACRO_SCORES, SCORE_TITLES, settings_text
from tenfold.reporting.network import parts_of
from tenfold.reporting.provenance import command, finished_on, library_versions
from tenfold.reporting.recommendations import recommendations
from tenfold.reporting.report_figure import ReportFigure
from tenfold.reporting.report_figures import report_figures
from tenfold.reporting.reproduction import is_curve, measured, reproduction_rows
from tenfold.reporting.settings_text import command_options, toml_text
from tenfold.reporting.study_records import StudyRecords
from tenfold.reporting.training_course import course_of
from tenfold.reporting.wording import page_environment

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

_FACTS: tuple[Callable[..., Any], ...] = (
    accuracy_margin,
    against_guessing,
    agreement,
    borne,
    brightness_extremes,
    channel_facts,
    class_balances,
    command_options,
    completed_trials,
    conflicts,
    confused_pairs,
    contrast_extremes,
    course_of,
    devices,
    doubts,
    execution_spread,
    finished_on,
    flagged_share,
    guessing_accuracy,
    had_copies_only,
    honest_protocol,
    honesty,
    imperfect_classes,
    is_curve,
    leading_score,
    leaky_protocol,
    leaning,
    library_versions,
    likeness,
    measured,
    mistakes,
    of_hundred,
    parts_of,
    reaching,
    recall_extremes,
    searched_names,
    sensitive_to,
    share_in_groups,
    size_effect,
    surest_half,
    toml_text,
    total_seconds,
    trial_states,
    untested_classes,
    validation_draw,
    weakest_classes,
)
"""What templates ask of records, under its own name."""


class Numbering:
    """Counts figures and tables in the order in which the page shows them."""

    def __init__(self) -> None:
        self._figures = 0
        self._tables = 0
        self._subsections: dict[str, int] = {}

    def figure(self) -> int:
        """Give the next figure's number."""
        self._figures += 1
        return self._figures

    def table(self) -> int:
        """Give the next table's number."""
        self._tables += 1
        return self._tables

    def subsection(self, section: str) -> int:
        """Give the next subsection's number within a section."""
        self._subsections[section] = self._subsections.get(section, 0) + 1
        return self._subsections[section]


def render_page(records: StudyRecords) -> str:
    """Give the report as one HTML page that refers to nothing outside itself.

    The same records give the same text.

    Raises
    ------
    SettingsError
        If a reference points to a measure that does not exist.
    """
    figures = report_figures(records)
    return _render(records, figures, {name: svg_text(f.draw) for name, f in figures.items()})


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
    page = _render(records, figures, drawn)
    for name, figure in figures.items():
        text = standalone_svg(drawn[name], name=name, description=figure.description)
        write_text(folder / "figures" / f"{name}.svg", text)
        write_bytes(folder / "figures" / f"{name}.png", png_bytes(figure.draw))
    path = folder / "report.html"
    write_text(path, page)
    return path


def _render(records: StudyRecords, figures: dict[str, ReportFigure], drawn: dict[str, str]) -> str:
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
    """Give the names that templates use: the records, and what is concluded from them."""
    sections = [
        section for section in _SECTIONS if section[0] != "reproduction" or records.references
    ]
    return {
        **{fact.__name__: fact for fact in _FACTS},
        "records": records,
        "stages": shown_stages(),
        "sections": sections,
        "section_number": {name: place for place, (name, _) in enumerate(sections, 1)},
        "section_title": dict(sections),
        "numbering": Numbering(),
        "command": lambda stage: command(stage, records),
        "MANY_DUPLICATES": MANY_DUPLICATES,
        "RUN_SCORES": RUN_SCORES,
        "SENSITIVE_FALL": SENSITIVE_FALL,
        "SMALL_PX": SMALL_PX,
        "SURE": SURE,
        "WANTED_ACCURACY": WANTED_ACCURACY,
        "macro_scores": MACRO_SCORES,
        "score_titles": SCORE_TITLES,
        "is_imbalanced": is_imbalanced(records.acquire),
        "train_imbalance": Imbalance.of(records.acquire.train_counts),
        "recommendations": recommendations(records),
        "reproduction": reproduction_rows(records),
        "settings_line": settings_text,
    }
