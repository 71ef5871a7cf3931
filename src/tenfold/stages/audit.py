"""Audit: labels that look wrong, near-duplicates, leaks, and the scores without the leaks."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tenfold.audit_predictions import FoldPredictions, look_at_all
from tenfold.core.files import write_text
from tenfold.core.records.data import (
    SHOWN_ISSUES,
    AuditRecord,
    LabelAudit,
    LabelIssue,
    ScoresOn,
    TestScores,
)
from tenfold.data.dataset import SplitName, write_arrays
from tenfold.data.near_duplicates import (
    SMALLEST_SIDE_PX,
    NetworkFeatures,
    equal_pairs,
    find_near_duplicates,
)
from tenfold.data.pixel_agreement import ImagePairs, joined_thumbnails, make_thumbnails
from tenfold.data.splits import exact_groups
from tenfold.evaluation.audit import (
    DUPLICATES,
    IMAGES,
    LABEL_ISSUES,
    AuditedImages,
    Probabilities,
    duplicates_csv,
    issues_csv,
    rank_label_issues,
    summarize_duplicates,
)
from tenfold.evaluation.scores import classification_scores
from tenfold.recipe import StudySettings
from tenfold.report.formats import counted
from tenfold.stages.stage import RECORD, Stage, StageContext
from tenfold.trained_model import TrainedModel


class AuditStage(Stage):
    """Looks at every image of both splits once, through the trained network."""

    name = "audit"
    position = 7
    version = 1
    summary = "look for wrong labels, duplicates, and leaks between the splits"
    is_dispensable = True
    reads_if_complete = ("cross-validate",)

    def is_enabled(self, settings: StudySettings) -> bool:
        """Say whether the settings ask for it."""
        return settings.audit.is_enabled

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give the stages that have to be complete first.

        Labels of the training split are audited by predictions of models that did not see them; the
        page shows scores beside those of the evaluation.
        """
        if settings.cross_validate.is_enabled and "fresh" in settings.cross_validate.protocols:
            return ("acquire", "train", "evaluate", "cross-validate")
        return ("acquire", "train", "evaluate")

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give what the result depends on beside the trained model."""
        return {"audit": settings.audit.plain(), "precision": settings.training.precision}

    def run(self, context: StageContext) -> None:
        """Predict all images, rank the labels, and look for near-duplicates."""
        started = time.monotonic()
        images = AuditedImages.read(context.inputs["acquire"])
        folds = context.inputs.get("cross-validate")
        seen = look_at_all(
            images,
            context.acquired(),
            TrainedModel.read(context.inputs["train"], context.acquired()),
            None if folds is None else FoldPredictions.read(folds),
            device=context.device,
            precision=context.device.precision(context.settings.training.precision),
            progress=context.progress,
        )
        labels = tuple(
            _audit_labels(context, images, split, *judged) for split, judged in seen.judged.items()
        )
        pairs, candidates = _duplicates(context, images, seen.features)
        duplicates = summarize_duplicates(
            pairs,
            images,
            least_agreement=context.settings.audit.least_agreement,
            candidates=candidates,
        )
        classes = context.acquired().classes
        write_text(context.folder / LABEL_ISSUES, issues_csv(labels, classes))
        write_text(context.folder / DUPLICATES, duplicates_csv(pairs, images, classes))
        shown = [
            *(issue.id for audit in labels for issue in audit.issues[:SHOWN_ISSUES]),
            *(name for pair in duplicates.shown for name in (pair.first, pair.second)),
        ]
        ids = sorted(set(shown))
        write_arrays(
            context.folder / IMAGES,
            ids=np.array(ids, dtype=str),
            images=images.pixels([images.place(name) for name in ids]),
        )
        AuditRecord(
            labels=labels,
            duplicates=duplicates,
            scores=_scores(images, seen.probabilities, pairs, classes),
            seconds=time.monotonic() - started,
        ).write(context.folder / RECORD)
        context.progress.say(_sentence(labels, pairs, images))


def _audit_labels(
    context: StageContext,
    images: AuditedImages,
    split: SplitName,
    probabilities: Probabilities,
    source: str,
) -> LabelAudit:
    settings = context.settings.audit
    labels = (images.train if split == "train" else images.test).labels
    offset = 0 if split == "train" else len(images.train)
    judged = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
    ranking = rank_label_issues(
        probabilities[judged], labels[judged], is_cleanlab=settings.label_method == "cleanlab"
    )
    return LabelAudit(
        split=split,
        probabilities=source,
        images=len(judged),
        flagged=int(ranking.is_flagged.sum()),
        issues=tuple(
            LabelIssue(
                id=images.id_at(offset + int(judged[place])),
                given=int(labels[judged[place]]),
                suggested=int(ranking.suggested[place]),
                score=round(float(ranking.score[place]), 6),
            )
            for place in ranking.order[: settings.listed_issues].tolist()
        ),
    )


def _duplicates(
    context: StageContext, images: AuditedImages, features: NetworkFeatures
) -> tuple[ImagePairs, int]:
    exact = exact_groups(images.train.images, images.test.images)
    if min(images.train.images.shape[1:3]) < SMALLEST_SIDE_PX:
        return equal_pairs(exact), 0
    return find_near_duplicates(
        joined_thumbnails(
            make_thumbnails(images.train.images), make_thumbnails(images.test.images)
        ),
        features,
        exact,
        images.labels,
        least_agreement=context.settings.audit.least_agreement,
        progress=context.progress,
    )


def _scores(
    images: AuditedImages, probabilities: Probabilities, pairs: ImagePairs, classes: tuple[str, ...]
) -> TestScores:
    is_leak = images.is_leak(pairs)

    def on(chosen: Any) -> ScoresOn | None:
        if not chosen.any():
            return None
        scores = classification_scores(images.test.labels[chosen], probabilities[chosen], classes)
        return ScoresOn(images=scores.count, accuracy=scores.accuracy, macro_f1=scores.macro_f1)

    plain = on(np.ones(len(images.test), bool))
    assert plain is not None
    return TestScores(plain=plain, without_leaks=on(~is_leak), leaks_only=on(is_leak))


def _sentence(labels: tuple[LabelAudit, ...], pairs: ImagePairs, images: AuditedImages) -> str:
    flagged = ", ".join(counted(audit.flagged, f"{audit.split} label") for audit in labels)
    leaks = int(images.is_leak(pairs).sum())
    return (
        f"Worth a look: {flagged}. "
        f"{counted(len(pairs), 'pair')} of near-duplicates; "
        f"{counted(leaks, 'test image')} {'has' if leaks == 1 else 'have'} one in training."
    )


STAGE = AuditStage()
