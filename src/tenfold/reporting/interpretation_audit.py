"""What stands beside the audit's tables and pictures."""

from __future__ import annotations

from dataclasses import dataclass

from tenfold.core.records.audit import AuditRecord, LabelAudit, ScoresOn
from tenfold.core.text import printable
from tenfold.reporting.formats import count, counted, join, percent, score, signed
from tenfold.reporting.study_records import StudyRecords

SPLIT_NAMES = {"train": "training", "test": "test"}

_MANY = 0.25
"""Share of images in groups of near-duplicates from which on the measure itself is in doubt."""


@dataclass(frozen=True)
class ScoreRow:
    """One row of the table of scores with and without."""

    name: str
    images: int
    accuracy: float
    macro_f1: float


def score_rows(records: StudyRecords) -> list[ScoreRow]:
    """Give the trained model's scores on the test split and on parts of it."""
    audit = records.audit
    if audit is None:
        return []
    corrected = " (with corrections)" if records.acquire.corrections else ""
    rows = [_row(f"Whole test split{corrected}", audit.scores.plain)]
    if records.scores_as_given is not None:
        given = records.scores_as_given
        rows.append(
            ScoreRow(
                "The same model, labels as the source gave them",
                given.count,
                given.accuracy,
                given.macro_f1,
            )
        )
    for name, scores in (
        ("Without test images that have a near-duplicate in training", audit.scores.without_leaks),
        ("Those test images alone", audit.scores.leaks_only),
    ):
        if scores is not None:
            rows.append(_row(name, scores))
    return rows


def leak_sentences(audit: AuditRecord) -> list[str]:
    """Say how many test images leak, and what that does to the accuracy."""
    duplicates, scores = audit.duplicates, audit.scores
    if duplicates.leaked_test_images == 0:
        return ["No test image has a near-duplicate in the training split."]
    share = duplicates.leaked_test_images / scores.plain.images
    sentences = [
        f"{counted(duplicates.leaked_test_images, 'test image')} ({percent(share)}) "
        f"{'has' if duplicates.leaked_test_images == 1 else 'have'} a near-duplicate among the "
        "training images, so the model may know them by heart."
    ]
    if scores.without_leaks is not None:
        change = scores.without_leaks.accuracy - scores.plain.accuracy
        sentences.append(
            f"Without them its accuracy is {score(scores.without_leaks.accuracy)} instead of "
            f"{score(scores.plain.accuracy)} ({signed(100 * change, 2)} percentage points)."
        )
    return sentences


def duplicate_sentences(records: StudyRecords) -> list[str]:
    """Say how duplicates were looked for, and what to make of them."""
    assert records.audit is not None
    duplicates = records.audit.duplicates
    total = sum(records.acquire.train_counts) + sum(records.acquire.test_counts)
    if duplicates.candidates == 0 and min(records.acquire.image_size_px) < 24:
        sentences = [
            "The images are smaller than 24 pixels, too small to tell a shot from its like, so "
            "only copies with the same pixels were looked for."
        ]
    else:
        sentences = [
            f"Neighbours among the pixels and among the trained network's features proposed "
            f"{counted(duplicates.candidates, 'pair')} of images. Each was laid over each other, "
            "shifted and stretched until it fits best, and counts if the directions of the edges "
            f"then agree by at least {score(duplicates.least_agreement, 2)}."
        ]
    sentences.append(
        f"{counted(duplicates.images_in_groups, 'image')} of {count(total)} "
        f"{'is' if duplicates.images_in_groups == 1 else 'are'} in "
        f"{counted(duplicates.groups, 'group')} of two or more."
    )
    conflicts = _conflicts(records.audit)
    if conflicts:
        sentences.append(
            f"{counted(conflicts, 'pair')} {'has' if conflicts == 1 else 'have'} different labels, "
            "which had to agree still better: one of the two should be wrong."
        )
    return sentences


def doubt_sentences(records: StudyRecords) -> list[str]:
    """Warn where so many images have near-duplicates that the measure may be at fault."""
    assert records.audit is not None
    total = sum(records.acquire.train_counts) + sum(records.acquire.test_counts)
    share = records.audit.duplicates.images_in_groups / max(total, 1)
    if share < _MANY:
        return []
    return [
        f"{percent(share, 0)} of all images are in such groups. Either they are frames of one film "
        "or the like, or all images of these classes look alike and the pairs are none: look at "
        "the least sure ones, and raise audit.least_agreement if they are not the same shot."
    ]


def label_sentences(labels: LabelAudit) -> list[str]:
    """Say how many labels of a split were flagged, and by what."""
    share = labels.flagged / max(labels.images, 1)
    return [
        f"Of {counted(labels.images, f'{SPLIT_NAMES[labels.split]} label')}, confident learning "
        f"flags {count(labels.flagged)} ({percent(share)}). Each is judged by "
        f"{printable(labels.probabilities)}."
    ]


def correction_sentences(records: StudyRecords) -> list[str]:
    """Say what a person corrected, and the accuracy with and without it."""
    corrections = records.acquire.corrections
    if corrections is None:
        return []
    changes = join(
        f"{counted(part.relabelled, f'{name} image')} relabelled and {count(part.dropped)} left out"
        for name, part in (("training", corrections.train), ("test", corrections.test))
    )
    sentences = [
        f"Labels were corrected by hand with {printable(corrections.file)}: {changes}. All scores "
        "are with the corrections."
    ]
    if records.scores_as_given is not None and records.evaluate is not None:
        given, corrected = records.scores_as_given, records.evaluate.scores
        sentences.append(
            "With the test labels as the source gave them, the same model has an accuracy of "
            f"{score(given.accuracy)} and a macro F1 of {score(given.macro_f1)} "
            f"({count(given.count)} images); with the corrections, {score(corrected.accuracy)} and "
            f"{score(corrected.macro_f1)} ({count(corrected.count)} images)."
        )
    return sentences


def _conflicts(audit: AuditRecord) -> int:
    parts = (audit.duplicates.within_train, audit.duplicates.within_test, audit.duplicates.across)
    return sum(part.other_label for part in parts)


def _row(name: str, scores: ScoresOn) -> ScoreRow:
    return ScoreRow(name, scores.images, scores.accuracy, scores.macro_f1)
