"""The figures of the audit: labels that look wrong, and near-duplicates side by side."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tenfold.core.records.data import SHOWN_ISSUES, DuplicatePair, LabelIssue
from tenfold.reporting.figures.duplicate_pairs import draw_duplicate_pairs
from tenfold.reporting.figures.galleries import Captioned, draw_gallery
from tenfold.reporting.formats import counted, score
from tenfold.reporting.report_figure import ReportFigure
from tenfold.reporting.study_records import StudyRecords


def figures_of_audit(records: StudyRecords) -> Iterator[ReportFigure]:
    """Give the figures of the audit, if it was run."""
    audit, images = records.audit, records.audited_images
    if audit is None or images is None:
        return
    for labels in audit.labels:
        shown = labels.issues[:SHOWN_ISSUES]
        if shown:
            split = "training" if labels.split == "train" else "test"
            captions = [Captioned(_issue_lines(records, issue)) for issue in shown]
            caption = (
                f"The most suspicious labels of the {split} split: the class that the model "
                "suggests, the label it has, and the image's identifier."
            )
            yield ReportFigure(
                f"label-issues-{labels.split}",
                partial(draw_gallery, images.at([issue.id for issue in shown]), captions),
                caption,
                f"{counted(len(shown), 'image')}. {caption}",
            )
    pairs = audit.duplicates.shown
    conflicts = [pair for pair in pairs if pair.first_label != pair.second_label]
    leaks = [p for p in pairs if p not in conflicts and _splits(p) == {"train", "test"}]
    others = [pair for pair in pairs if pair not in conflicts and pair not in leaks]
    for name, chosen, caption in (
        (
            "duplicates-leaks",
            leaks,
            "Leaks: a training image and the test image that is a near-duplicate of it, from the "
            "surest pair to the least sure one.",
        ),
        (
            "duplicates-conflicts",
            conflicts,
            "Near-duplicates with different labels: if they are the same shot, one label is wrong.",
        ),
        (
            "duplicates-others",
            others,
            "Near-duplicates within a split, from the surest pair to the least sure one.",
        ),
    ):
        if chosen:
            yield ReportFigure(
                name,
                partial(
                    draw_duplicate_pairs,
                    images.at([pair.first for pair in chosen]),
                    images.at([pair.second for pair in chosen]),
                    [_pair_lines(records, pair) for pair in chosen],
                ),
                f"{caption} The number is how well the edges of the two agree; 1 is equal.",
                f"{counted(len(chosen), 'pair')} of images, side by side. {caption}",
            )


def _splits(pair: DuplicatePair) -> set[str]:
    return {pair.first.partition("/")[0], pair.second.partition("/")[0]}


def _issue_lines(records: StudyRecords, issue: LabelIssue) -> tuple[str, ...]:
    classes = records.acquire.classes
    return (f"{classes[issue.suggested]}?", classes[issue.given], issue.id)


def _pair_lines(records: StudyRecords, pair: DuplicatePair) -> tuple[str, ...]:
    classes = records.acquire.classes
    agreement = "equal" if pair.is_exact else score(pair.agreement, 2)
    names = dict.fromkeys((classes[pair.first_label], classes[pair.second_label]))
    mirrored = ", mirrored" if pair.is_mirrored else ""
    return f"{pair.first}, {pair.second}", " or ".join(names), f"{agreement}{mirrored}"
