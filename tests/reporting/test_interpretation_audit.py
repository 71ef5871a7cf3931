"""What the audit's findings amount to, and what the page shows of them."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace
from typing import Any

import pytest

from real_study import CONFLICTS, LEAKS, TEST_COUNTS, TRAIN_COUNTS
from tenfold.core.records.data import CorrectionsRecord, SplitCorrections
from tenfold.report.figures.canvas import svg_text
from tenfold.report.findings.data import conflicts, had_copies_only, share_in_groups
from tenfold.report.plots import figures_of_audit
from tenfold.report.records import StudyRecords


def _with_duplicates(real_study: StudyRecords, **changes: Any) -> StudyRecords:
    assert real_study.audit is not None
    duplicates = real_study.audit.duplicates.model_copy(update=changes)
    return dataclasses.replace(
        real_study, audit=real_study.audit.model_copy(update={"duplicates": duplicates})
    )


def test_planted_faults_are_counted(real_study: StudyRecords) -> None:
    assert real_study.audit is not None
    duplicates = real_study.audit.duplicates
    assert (duplicates.leaked_test_images, conflicts(duplicates)) == (LEAKS, CONFLICTS)
    images = sum(TRAIN_COUNTS + TEST_COUNTS) + LEAKS - 1  # one file has a leak's name already
    share = 2 * (LEAKS + CONFLICTS) / images
    assert share_in_groups(duplicates, real_study.acquire) == pytest.approx(share, abs=0.002)


@pytest.mark.parametrize(
    ("size_px", "candidates", "expected"), [(32, 0, False), (8, 0, True), (8, 1, False)]
)
def test_small_images_are_searched_for_copies_only(
    real_study: StudyRecords,
    builder: SimpleNamespace,
    size_px: int,
    candidates: int,
    expected: bool,
) -> None:
    audit = _with_duplicates(real_study, candidates=candidates).audit
    assert audit is not None
    acquire = builder.acquire_record(("cat", "dog"), size_px=size_px)
    assert had_copies_only(audit.duplicates, acquire) == expected


def test_the_section_follows_the_facts(real_study: StudyRecords, section: Any) -> None:
    text = section("audit", real_study)
    assert "3 test images (6.8%) have a near-duplicate" in text
    assert "labels as the source gave them" not in text
    assert "Look at these first" not in text
    assert "No test image has a near-duplicate" in section(
        "audit", _with_duplicates(real_study, leaked_test_images=0)
    )
    assert "50% of all images" in section(
        "audit", _with_duplicates(real_study, images_in_groups=85)
    )


def test_scores_with_and_without_corrections_stand_side_by_side(
    real_study: StudyRecords, section: Any
) -> None:
    corrections = CorrectionsRecord(
        file="mine.csv",
        lines=9,
        train=SplitCorrections(relabelled=1, dropped=2),
        test=SplitCorrections(relabelled=3, dropped=0),
    )
    assert real_study.evaluate is not None
    given = real_study.evaluate.scores.model_copy(update={"accuracy": 0.651, "macro_f1": 0.649})
    acquire = real_study.acquire.model_copy(update={"corrections": corrections})
    text = section("audit", dataclasses.replace(real_study, acquire=acquire, scores_as_given=given))
    rows = re.findall(r" [\d,]+ (\d\.\d{3}) \d\.\d{3} ", text)
    assert [float(accuracy) for accuracy in rows] == [0.955, 0.651, 0.951, 1]
    assert "1 training image relabelled and 2 left out and 3 test images relabelled" in text
    assert "accuracy of 0.651 and a macro F1 of 0.649" in text


def test_without_folds_the_page_says_how_to_audit_training(
    real_study: StudyRecords, section: Any
) -> None:
    assert real_study.audit is not None
    audit = real_study.audit.model_copy(update={"labels": real_study.audit.labels[1:]})
    assert "The training labels were not audited" in section(
        "audit", dataclasses.replace(real_study, audit=audit)
    )


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
