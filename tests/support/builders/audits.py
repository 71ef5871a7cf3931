"""Plausible records of the audit stage."""

from __future__ import annotations

import numpy as np

from tenfold.core.records.audit import (
    AuditRecord,
    DuplicateAudit,
    DuplicateCounts,
    DuplicatePair,
    LabelAudit,
    LabelIssue,
    ScoresOn,
    TestScores,
)

AUDITED_IDS = np.array(
    sorted([f"test/{n}" for n in range(40)] + [f"train/{n}" for n in range(40)]), dtype=str
)
"""Identifiers of the images that come with `audit_record`."""


def audit_record(class_count: int) -> AuditRecord:
    """Give an audit with issues in both splits and duplicates of every kind."""
    counts = DuplicateCounts(exact=12, near=340, other_label=3)

    def issues(split: str) -> tuple[LabelIssue, ...]:
        return tuple(
            LabelIssue(
                id=f"{split}/{place}",
                given=place % class_count,
                suggested=(place + 1) % class_count,
                score=place / 100,
            )
            for place in range(60)
        )

    def pair(first: str, second: str, place: int, other: int = 0) -> DuplicatePair:
        return DuplicatePair(
            first=first,
            second=second,
            first_label=place % class_count,
            second_label=(place + other) % class_count,
            agreement=1 - place / 50,
            is_exact=place == 0,
            is_mirrored=place % 3 == 1,
        )

    return AuditRecord(
        labels=(
            LabelAudit(
                split="train",
                probabilities="out of fold: each image by the one of 5 models that was not "
                "trained on it",
                images=50_000,
                flagged=1_234,
                issues=issues("train"),
            ),
            LabelAudit(
                split="test",
                probabilities="the trained model",
                images=10_000,
                flagged=321,
                issues=issues("test"),
            ),
        ),
        duplicates=DuplicateAudit(
            least_agreement=0.8,
            candidates=145_556,
            within_train=counts,
            within_test=counts,
            across=counts,
            groups=900,
            images_in_groups=2_345,
            leaked_test_images=300,
            shown=(
                *(pair(f"train/{n}", f"test/{n}", n) for n in range(7)),
                *(pair(f"train/{n}", f"test/{n}", n, 1) for n in range(7, 9)),
                *(pair(f"train/{n}", f"train/{n + 1}", n) for n in range(9, 12)),
            ),
        ),
        scores=TestScores(
            plain=ScoresOn(images=10_000, accuracy=0.682, macro_f1=0.68),
            without_leaks=ScoresOn(images=9_700, accuracy=0.6725, macro_f1=0.67),
            leaks_only=ScoresOn(images=300, accuracy=0.98, macro_f1=0.98),
        ),
        seconds=130.0,
    )
