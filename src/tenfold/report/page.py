"""The report: one self-contained HTML page, and its figures as files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup

from tenfold.core.files import write_bytes, write_text
from tenfold.core.records.evaluation import EvaluateRecord, ProtocolRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.run_folder import Manifest
from tenfold.core.stages import shown_stages
from tenfold.evaluation.scores import Imbalance, is_imbalanced
from tenfold.report.figures.canvas import (
    ReportFigure,
    inline_svg,
    png_bytes,
    standalone_svg,
    svg_text,
)
from tenfold.report.findings.data import (
    MANY_DUPLICATES,
    SMALL_PX,
    brightness_extremes,
    channel_facts,
    class_balances,
    conflicts,
    contrast_extremes,
    flagged_share,
    had_copies_only,
    share_in_groups,
    size_effect,
    validation_draw,
)
from tenfold.report.findings.evaluation import (
    SURE,
    against_guessing,
    confused_pairs,
    doubts,
    guessing_accuracy,
    imperfect_classes,
    leaning,
    likeness,
    mistakes,
    recall_extremes,
    weakest_classes,
)
from tenfold.report.findings.reliability import (
    RUN_SCORES,
    SENSITIVE_FALL,
    WANTED_ACCURACY,
    accuracy_margin,
    borne,
    honest_protocol,
    honesty,
    leading_score,
    leaky_protocol,
    reaching,
    sensitive_to,
    surest_half,
)
from tenfold.report.findings.training import course_of, parts_of
from tenfold.report.findings.tuning import (
    completed_trials,
    execution_spread,
    searched_names,
    trial_states,
)
from tenfold.report.formats import command_options, toml_text
from tenfold.report.plots import report_figures
from tenfold.report.recommendations import recommendations
from tenfold.report.records import StudyRecords
from tenfold.report.reproduction import (
    MACRO_SCORES,
    SCORE_TITLES,
    is_curve,
    measured,
    reproduction_rows,
    settings_text,
)
from tenfold.report.wording import page_environment

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


def total_seconds(manifests: Mapping[str, Manifest]) -> float:
    """Give the wall time of all complete stages."""
    return sum(manifest.seconds for manifest in manifests.values())


def devices(manifests: Mapping[str, Manifest]) -> list[str]:
    """Give the devices that stages ran on, each once."""
    return list(dict.fromkeys(manifest.device for manifest in manifests.values()))


def untested_classes(evaluate: EvaluateRecord) -> int:
    """Count the classes without a test image, which macro scores count as 0."""
    return sum(not one.total_cases for one in evaluate.scores.classes)


def of_hundred(share: float) -> str:
    """Write how many of 100 that is; never 100 or 0 where it is not all or none."""
    rounded = round(100 * share)
    if (rounded == 100 and share < 1) or (rounded == 0 and share > 0):
        return f"{100 * share:.1f}"
    return str(rounded)


def agreement(
    protocol: ProtocolRecord, evaluate: EvaluateRecord, train: TrainRecord | None
) -> Literal["other length", "agrees", "few images", "differs"]:
    """Say how the accuracy of honest folds and that on the test split go together.

    "few images": far apart, but chance explains that. "other length": the folds were trained for
    longer or shorter than a least number of steps explains. (Folds have fewer images than the
    whole, so they need more epochs for as many steps, and a time budget makes a few more or fewer.)
    """
    if train is not None:
        epochs = protocol.epochs, train.epochs
        if max(epochs) > 1.5 * min(epochs):
            return "other length"
    apart = abs(evaluate.scores.accuracy - protocol.means["accuracy"])
    if apart > accuracy_margin(protocol, evaluate):
        return "differs"
    return "few images" if apart > _WIDELY_APART else "agrees"


def library_versions(manifests: Iterable[Manifest]) -> dict[str, dict[str, list[str]]]:
    """Give each library's versions, and of each version the stages that ran with it."""
    found: dict[str, dict[str, list[str]]] = {}
    for manifest in manifests:
        for library, version in manifest.versions.items():
            found.setdefault(library, {}).setdefault(version, []).append(manifest.stage)
    return dict(sorted(found.items()))


def finished_on(records: StudyRecords) -> str:
    """Give the day on which the last stage was begun, for example ``7 February 2025``."""
    days = []
    for manifest in records.manifests.values():
        try:
            days.append(datetime.fromisoformat(manifest.started))
        except ValueError:
            continue
    if not days:
        return ""
    last = max(days, key=lambda day: day.isoformat())
    # The month by hand: strftime's depends on the reader's locale.
    return f"{last.day} {_MONTHS[last.month - 1]} {last.year}"


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


_WIDELY_APART = 0.1
"""Scores that differ by more do not agree, even where few images leave that to chance."""


def command(stage: str, records: StudyRecords) -> str:
    """Give the command that runs a stage of this study."""
    return f"tenfold {stage} --out {shlex.quote(str(records.run_folder))}"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
