"""Audit: labels that look wrong, near-duplicates, leaks, and the scores without the leaks."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tenfold.auditing.audit_files import (
    DUPLICATES,
    IMAGES,
    LABEL_ISSUES,
    duplicates_csv,
    issues_csv,
)
from tenfold.auditing.audited_images import AuditedImages
from tenfold.auditing.duplicate_summary import summarize_duplicates
from tenfold.auditing.image_pairs import ImagePairs
from tenfold.auditing.label_issues import Probabilities, rank_label_issues
from tenfold.auditing.near_duplicates import (
    SMALLEST_SIDE_PX,
    NetworkFeatures,
    equal_pairs,
    find_near_duplicates,
)
from tenfold.auditing.thumbnails import joined_thumbnails, make_thumbnails
from tenfold.calibrating import calibrated_probabilities
from tenfold.core.files import write_text
from tenfold.core.records.audit import (
    SHOWN_ISSUES,
    AuditRecord,
    LabelAudit,
    LabelIssue,
    ScoresOn,
    TestScores,
)
from tenfold.core.records.cross_validate import CrossValidateRecord
from tenfold.data.duplicate_groups import exact_groups
from tenfold.data.split_files import read_arrays, write_arrays
from tenfold.engine.features import features_and_logits
from tenfold.metrics.classification import classification_scores
from tenfold.recipe import StudySettings
from tenfold.stages.stage import RECORD, StageContext
from tenfold.trained_model import TrainedModel

_OUT_OF_FOLD = "out_of_fold_fresh.npz"


class AuditStage:
    """Looks at every image of both splits once, through the trained network."""

    name = "audit"
    position = 7
    version = 1
    summary = "look for wrong labels, duplicates and leaks"
    reads_if_complete = ("cross-validate",)

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give the stages that have to be complete first.

        Labels of the training split are audited by predictions of models that did not see them.
        """
        if settings.cross_validate.is_enabled and "fresh" in settings.cross_validate.protocols:
            return ("acquire", "train", "cross-validate")
        return ("acquire", "train")

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give what the result depends on beside the trained model."""
        return {"audit": settings.audit.plain(), "precision": settings.training.precision}

    def run(self, context: StageContext) -> None:
        """Predict all images, rank the labels, and look for near-duplicates."""
        started = time.monotonic()
        images = AuditedImages.read(context.inputs["acquire"])
        seen = _look(context, images)
        labels = _audit_labels(context, images, seen)
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


class _Seen:
    """What the trained network makes of the images.

    Parameters
    ----------
    features
        Of all images.
    probabilities
        Of the test images, shape (M, classes), as the evaluate stage has them.
    averaged
        The same, averaged over each image and its mirror image where that keeps the class.
    """

    def __init__(
        self, features: NetworkFeatures, probabilities: Probabilities, averaged: Probabilities
    ) -> None:
        self.features = features
        self.probabilities = probabilities
        self.averaged = averaged


def _look(context: StageContext, images: AuditedImages) -> _Seen:
    acquired = context.acquired()
    model = TrainedModel.read(context.inputs["train"], acquired)
    network = model.network().to(context.device.torch_device)
    precision = context.device.precision(context.settings.training.precision)
    test = images.test.images
    passes = [images.train.images, test]
    if acquired.mirror_keeps_class:
        passes.append(test[:, :, ::-1])
    features, logits = [], []
    total = sum(len(part) for part in passes)
    with context.progress.task("Features of all images", total, unit="images") as task:
        for part in passes:
            found = features_and_logits(
                network,
                part,
                device=context.device,
                precision=precision,
                on_block=task.advance,
            )
            features.append(found[0])
            logits.append(found[1])
    probabilities = [calibrated_probabilities(part, model.temperature) for part in logits[1:]]
    averaged = np.stack(probabilities).astype(np.float64).mean(axis=0).astype(np.float32)
    mirrored = features[2] if len(features) > 2 else None
    return _Seen(
        NetworkFeatures(np.concatenate(features[:2]), mirrored), probabilities[0], averaged
    )


def _audit_labels(
    context: StageContext, images: AuditedImages, seen: _Seen
) -> tuple[LabelAudit, ...]:
    audits = []
    folder = context.inputs.get("cross-validate")
    if folder is not None and (folder / _OUT_OF_FOLD).is_file():
        folds = CrossValidateRecord.read(folder / RECORD).folds
        out_of_fold = read_arrays(folder / _OUT_OF_FOLD)["probabilities"]
        source = f"out of fold: each image by the one of {folds} models that was not trained on it"
        audits.append(_audit_split(context, images, "train", out_of_fold, source))
    source = "the trained model"
    if context.acquired().mirror_keeps_class:
        source += ", averaged over each image and its mirror image"
    audits.append(_audit_split(context, images, "test", seen.averaged, source))
    return tuple(audits)


def _audit_split(
    context: StageContext,
    images: AuditedImages,
    split: Any,
    probabilities: Probabilities,
    source: str,
) -> LabelAudit:
    settings = context.settings.audit
    labels = (images.train if split == "train" else images.test).labels
    offset = 0 if split == "train" else len(images.train)
    ranking = rank_label_issues(
        probabilities, labels, is_cleanlab=settings.label_method == "cleanlab"
    )
    return LabelAudit(
        split=split,
        probabilities=source,
        images=len(labels),
        flagged=int(ranking.is_flagged.sum()),
        issues=tuple(
            LabelIssue(
                id=images.id_at(offset + place),
                given=int(labels[place]),
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
    flagged = ", ".join(f"{audit.flagged} {audit.split} labels" for audit in labels)
    return (
        f"Worth a look: {flagged}. {len(pairs)} pairs of near-duplicates; "
        f"{int(images.is_leak(pairs).sum())} test images have one in training."
    )


STAGE = AuditStage()
