"""The tables that the audit writes for people: label issues to be edited, and all duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tenfold.auditing.audited_images import AuditedImages
from tenfold.core.records.data import LabelAudit
from tenfold.core.text import csv_line
from tenfold.data.pixel_agreement import ImagePairs

LABEL_ISSUES = "label_issues.csv"
DUPLICATES = "duplicates.csv"
IMAGES = "images.npz"


def issues_csv(audits: Iterable[LabelAudit], classes: Sequence[str]) -> str:
    """Give the label issues of all splits; the action of each is ``keep`` until somebody edits it.

    See `tenfold.data.corrections` for how it is read.
    """
    lines = [csv_line(["id", "given", "suggested", "score", "action"])]
    for audit in audits:
        for issue in audit.issues:
            given, suggested = classes[issue.given], classes[issue.suggested]
            lines.append(csv_line([issue.id, given, suggested, f"{issue.score:.6f}", "keep"]))
    return "".join(lines)


def duplicates_csv(pairs: ImagePairs, images: AuditedImages, classes: Sequence[str]) -> str:
    """Give all pairs, those across the splits first, then by agreement."""
    across = images.is_test(pairs.second) & ~images.is_test(pairs.first)
    names = ["first", "second", "first_label", "second_label", "agreement", "is_exact"]
    lines = [csv_line([*names, "is_mirrored"])]
    for place in np.lexsort((pairs.second, pairs.first, -pairs.agreement, ~across)).tolist():
        first, second = int(pairs.first[place]), int(pairs.second[place])
        lines.append(
            csv_line(
                [
                    images.id_at(first),
                    images.id_at(second),
                    classes[images.labels[first]],
                    classes[images.labels[second]],
                    f"{pairs.agreement[place]:.4f}",
                    str(bool(pairs.is_exact[place])).lower(),
                    str(bool(pairs.is_mirrored[place])).lower(),
                ]
            )
        )
    return "".join(lines)
