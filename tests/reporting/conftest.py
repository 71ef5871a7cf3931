"""Plausible records and studies for the report's tests."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest

import builders
from tenfold.core.records.train import PenaltyRecord, ProbeRecord
from tenfold.reporting.page import _render
from tenfold.reporting.study_records import StudyRecords


@pytest.fixture(scope="session")
def builder() -> SimpleNamespace:
    """Give what builds records and studies (tests/support/builders)."""
    return SimpleNamespace(**{name: getattr(builders, name) for name in builders.__all__})


@pytest.fixture(scope="session")
def section() -> Callable[[str, StudyRecords], str]:
    """Give a function that gives the text of a section of a study's page, or of its header.

    No figure is drawn, so this takes a moment only.
    """

    def read(name: str, records: StudyRecords) -> str:
        page = _render(records, {}, {})
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
