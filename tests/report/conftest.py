"""Plausible records and studies for the report's tests."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

import builders
from real_study import run_study
from tenfold.core.records.training import PenaltyRecord, ProbeRecord
from tenfold.report.figures.canvas import svg_text
from tenfold.report.page import page_html
from tenfold.report.plots import report_figures
from tenfold.report.records import StudyRecords, read_study_records


@pytest.fixture(scope="session")
def builder() -> SimpleNamespace:
    """Give what builds records and studies (tests/support/builders)."""
    return SimpleNamespace(**{name: getattr(builders, name) for name in builders.__all__})


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of what is made once for all workers; who makes it holds a lock."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def study_folder(shared: Path) -> Path:
    """Give the run folder of a real study (tests/support/real_study), made once for all workers.

    It is only read; a test that changes it takes a copy.
    """
    folder = shared / "real-study"
    with FileLock(shared / "real-study.lock"), pytest.MonkeyPatch.context() as patch:
        # One core: the same numbers on every machine, as far as they can be.
        patch.setattr("tenfold.training.device.available_cores", lambda: 1)
        if not (folder / "complete").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            run_study(folder / "images", folder / "run")
            (folder / "complete").touch()
    return folder / "run"


@pytest.fixture(scope="session")
def real_study(study_folder: Path) -> StudyRecords:
    """Give all records of the real study."""
    return read_study_records(study_folder)


@pytest.fixture(scope="session")
def studies(builder: SimpleNamespace, real_study: StudyRecords) -> dict[str, StudyRecords]:
    """Give studies that differ in size, stages, classes and names."""
    return {
        "whole": real_study,
        "two-class": builder.two_class_study(),
        "many-class": builder.many_class_study(),
        "gray": builder.gray_study(),
        "searched": builder.searched_study(),
    }


@pytest.fixture(scope="session", params=["whole", "two-class", "many-class", "gray", "searched"])
def each_study(request: pytest.FixtureRequest) -> str:
    """Give the name of each of `studies`, one a test."""
    return str(request.param)


@pytest.fixture(scope="session")
def drawn(studies: dict[str, StudyRecords], shared: Path) -> dict[str, dict[str, str]]:
    """Give every figure of every study as matplotlib's SVG, drawn once for all workers."""
    kept = shared / "drawn.json"
    with FileLock(shared / "drawn.lock"):
        if not kept.is_file():
            figures = {
                study: {name: svg_text(one.draw) for name, one in report_figures(records).items()}
                for study, records in studies.items()
            }
            kept.write_text(json.dumps(figures), "utf-8")
    given: dict[str, dict[str, str]] = json.loads(kept.read_text("utf-8"))
    return given


@pytest.fixture(scope="session")
def section() -> Callable[[str, StudyRecords], str]:
    """Give a function that gives the text of a section of a study's page, or of its header.

    No figure is drawn, so this takes a moment only.
    """

    def read(name: str, records: StudyRecords) -> str:
        page = page_html(records, {}, {})
        begin = "<header>" if name == "header" else f'<section id="{name}">'
        end = "</header>" if name == "header" else "<section id=|</main>"
        content = re.split(end, page.partition(begin)[2], maxsplit=1)[0]
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", content)).split())

    return read


@pytest.fixture
def probe() -> ProbeRecord:
    """Give how a head was fitted to frozen features, without fine-tuning."""
    tried = ((1.0, 0.62), (0.3, 0.51), (0.1, 0.55))
    return ProbeRecord(
        feature_count=2024,
        is_mirrored=True,
        penalty=0.3,
        tried=tuple(PenaltyRecord(penalty=p, log_loss=loss) for p, loss in tried),
        judged_by="the 5,000 validation images",
        fine_tune_epochs=0,
        feature_seconds=200,
        fit_seconds=30,
    )
