"""What the page says of the audit."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from tenfold.core.records.acquire import CorrectionsRecord, SplitCorrections
from tenfold.reporting import interpretation_audit as audit
from tenfold.reporting.audit_figures import figures_of_audit
from tenfold.reporting.figures.canvas import svg_text
from tenfold.reporting.page import render_page
from tenfold.reporting.study_records import StudyRecords


@pytest.fixture
def study(builder: SimpleNamespace) -> StudyRecords:
    records: StudyRecords = builder.cifar_study()
    return records


def _with_corrections(study: StudyRecords) -> StudyRecords:
    corrections = CorrectionsRecord(
        file="mine.csv",
        lines=9,
        train=SplitCorrections(relabelled=1, dropped=2),
        test=SplitCorrections(relabelled=3, dropped=0),
    )
    assert study.evaluate is not None
    given = study.evaluate.scores.model_copy(update={"accuracy": 0.651, "macro_f1": 0.649})
    return dataclasses.replace(
        study,
        acquire=study.acquire.model_copy(update={"corrections": corrections}),
        scores_as_given=given,
    )


def test_leaks_are_counted_and_the_score_without_them_given(study: StudyRecords) -> None:
    assert study.audit is not None
    assert " ".join(audit.leak_sentences(study.audit)) == (
        "300 test images (3.0%) have a near-duplicate among the training images, so the model may "
        "know them by heart. Without them its accuracy is 0.672 instead of 0.682 (−0.95 "
        "percentage points)."
    ) or "0.673 instead of 0.682" in " ".join(audit.leak_sentences(study.audit))


def test_no_leak_is_said_too(study: StudyRecords) -> None:
    assert study.audit is not None
    duplicates = study.audit.duplicates.model_copy(update={"leaked_test_images": 0})
    clean = study.audit.model_copy(update={"duplicates": duplicates})
    assert audit.leak_sentences(clean) == [
        "No test image has a near-duplicate in the training split."
    ]


def test_scores_with_and_without_corrections_stand_side_by_side(study: StudyRecords) -> None:
    assert len(audit.score_rows(study)) == 3
    corrected = _with_corrections(study)
    rows = audit.score_rows(corrected)
    assert [row.accuracy for row in rows] == [0.682, 0.651, 0.6725, 0.98]
    text = " ".join(audit.correction_sentences(corrected))
    assert "1 training image relabelled and 2 left out and 3 test images relabelled" in text
    assert "accuracy of 0.651 and a macro F1 of 0.649" in text
    assert "0.651" in render_page(corrected)
    assert audit.correction_sentences(study) == []


def test_many_duplicates_are_a_warning(study: StudyRecords) -> None:
    assert audit.doubt_sentences(study) == []
    assert study.audit is not None
    duplicates = study.audit.duplicates.model_copy(update={"images_in_groups": 30_000})
    many = study.audit.model_copy(update={"duplicates": duplicates})
    assert "50% of all images" in audit.doubt_sentences(dataclasses.replace(study, audit=many))[0]


def test_without_folds_the_page_says_how_to_audit_training(study: StudyRecords) -> None:
    assert study.audit is not None
    page = render_page(
        dataclasses.replace(
            study, audit=study.audit.model_copy(update={"labels": study.audit.labels[1:]})
        )
    )
    assert "The training labels were not audited" in page


def test_every_kind_of_finding_has_its_figure(study: StudyRecords) -> None:
    figures = {figure.name: figure for figure in figures_of_audit(study)}
    assert list(figures) == [
        "label-issues-train",
        "label-issues-test",
        "duplicates-leaks",
        "duplicates-conflicts",
        "duplicates-others",
    ]
    text = svg_text(figures["duplicates-conflicts"].draw)
    assert "train/7, test/7" in text
    assert "bird?" in svg_text(figures["label-issues-train"].draw)
