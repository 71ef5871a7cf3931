"""Advice that follows from the audit of labels and duplicates."""

from __future__ import annotations

from collections.abc import Iterator

from tenfold.core.records.audit import AuditRecord
from tenfold.reporting.formats import count, counted, join, percent, score
from tenfold.reporting.interpretation_audit import SPLIT_NAMES
from tenfold.reporting.recommendation import Recommendation

_FLAGGED_SHARE = 0.005
"""Share of suspicious labels from which on going through them is worth a person's time."""

_LEAK_EFFECT = 0.0005
"""Change of the accuracy without leaks that shows in its third digit."""


def about_audit(audit: AuditRecord) -> Iterator[Recommendation]:
    """Give the advice that labels, conflicts and leaks support."""
    yield from _about_conflicts(audit)
    yield from _about_labels(audit)
    yield from _about_leaks(audit)


def _about_conflicts(audit: AuditRecord) -> Iterator[Recommendation]:
    duplicates = audit.duplicates
    parts = (duplicates.within_train, duplicates.within_test, duplicates.across)
    conflicts = sum(part.other_label for part in parts)
    if conflicts:
        yield Recommendation(
            "Decide the labels of near-duplicates that carry two of them (audit/duplicates.csv).",
            f"{counted(conflicts, 'pair')} of images of the same shot "
            f"{'has' if conflicts == 1 else 'have'} different labels, so one of the two is wrong.",
        )


def _about_labels(audit: AuditRecord) -> Iterator[Recommendation]:
    flagged = [
        labels for labels in audit.labels if labels.flagged / max(labels.images, 1) > _FLAGGED_SHARE
    ]
    if flagged:
        found = join(
            f"{count(labels.flagged)} of "
            f"{counted(labels.images, f'{SPLIT_NAMES[labels.split]} label')} "
            f"({percent(labels.flagged / labels.images)})"
            for labels in flagged
        )
        yield Recommendation(
            "Go through the labels that look wrong, the most suspicious first, and give the "
            "corrected list back (audit/label_issues.csv, --corrections).",
            f"Confident learning flags {found}; the further down the list, the fewer of them are "
            "wrong.",
        )


def _about_leaks(audit: AuditRecord) -> Iterator[Recommendation]:
    leaked, scores = audit.duplicates.leaked_test_images, audit.scores
    if not leaked or scores.without_leaks is None:
        return
    change = scores.plain.accuracy - scores.without_leaks.accuracy
    if abs(change) >= _LEAK_EFFECT:
        yield Recommendation(
            "Quote the score without the test images that leak, or take those out of training.",
            f"{counted(leaked, 'test image')} ({percent(leaked / scores.plain.images)}) "
            f"{'has' if leaked == 1 else 'have'} a near-duplicate in training; without "
            f"{'it' if leaked == 1 else 'them'} the accuracy is "
            f"{score(scores.without_leaks.accuracy)} instead of {score(scores.plain.accuracy)}.",
        )
