"""What the audit's findings amount to."""

from __future__ import annotations

from tenfold.core.records.data import AcquireRecord, DuplicateAudit, LabelAudit

SMALL_PX = 24
"""Images of a shorter side are not compared shot by shot, unless candidates say otherwise."""

MANY_DUPLICATES = 0.25
"""Share of images in groups of near-duplicates from which on the measure itself is in doubt."""


def conflicts(duplicates: DuplicateAudit) -> int:
    """Count the pairs of near-duplicates with different labels."""
    parts = (duplicates.within_train, duplicates.within_test, duplicates.across)
    return sum(part.other_label for part in parts)


def had_copies_only(duplicates: DuplicateAudit, acquire: AcquireRecord) -> bool:
    """Say whether images were too small to look for more than the same pixels."""
    return duplicates.candidates == 0 and min(acquire.image_size_px) < SMALL_PX


def share_in_groups(duplicates: DuplicateAudit, acquire: AcquireRecord) -> float:
    """Give the share of all images that have a near-duplicate."""
    total = sum(acquire.train_counts) + sum(acquire.test_counts)
    return duplicates.images_in_groups / max(total, 1)


def flagged_share(labels: LabelAudit) -> float:
    """Give the share of a split's labels that look wrong."""
    return labels.flagged / max(labels.images, 1)
