"""Audit: duplicates, leaks and wrong labels, from out-of-sample predictions."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tenfold.core.files import write_text
from tenfold.core.progress import Task
from tenfold.core.records.data import (
    SHOWN_ISSUES,
    AuditRecord,
    LabelAudit,
    LabelIssue,
    ScoresOn,
    TestScores,
)
from tenfold.core.records.evaluation import CrossValidateRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.text import counted
from tenfold.data.dataset import SplitName, read_arrays, write_arrays
from tenfold.data.feature_rows import MOST_KEPT_BYTES, Features, joined_features
from tenfold.data.image_pairs import ImagePairs
from tenfold.data.near_duplicates import (
    SMALLEST_SIDE_PX,
    NearDuplicates,
    NetworkFeatures,
    find_near_duplicates,
)
from tenfold.data.splits import exact_groups
from tenfold.data.store import AnyImages, some_images
from tenfold.evaluation.audit import (
    DUPLICATES,
    IMAGES,
    LABEL_ISSUES,
    AuditedImages,
    Probabilities,
    duplicates_csv,
    issues_csv,
    looks_in_proportion,
    rank_label_issues,
    summarize_duplicates,
)
from tenfold.evaluation.scores import classification_scores
from tenfold.models.model import ImageNetwork, NetworkPlan
from tenfold.study.image_tasks import NetworkWork
from tenfold.study.recipe import StudySettings
from tenfold.study.stages.stage import RECORD, Stage, StageContext, TrainedModel, read_fold_models
from tenfold.training.device import Device
from tenfold.training.inference import (
    mirrored,
    probabilities_from_logits,
    stored_features_and_logits,
)
from tenfold.training.temperature import calibrated_probabilities


class AuditStage(Stage):
    """Looks at every image of both splits once, through the trained network."""

    name = "audit"
    position = 7
    version = 3  # 2: a closer look at pairs, and what is only alike; 3: in proportion
    summary = "look for wrong labels, duplicates, and leaks between the splits"
    is_dispensable = True
    needed = ("acquire", "train", "evaluate")
    reads_if_complete = ("cross-validate",)

    def is_enabled(self, settings: StudySettings) -> bool:
        """Say whether the settings ask for it."""
        return settings.audit.is_enabled

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give fresh folds too, if the study has them.

        Labels of the training split are audited by predictions of models that did not see them; the
        page shows scores beside those of the evaluation.
        """
        folds = settings.cross_validate
        has_folds = folds.is_enabled and "fresh" in folds.protocols
        return (*super().needs(settings), *(["cross-validate"] if has_folds else []))

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give what the result depends on beside the trained model."""
        return {
            "audit": settings.audit.plain(),
            "precision": settings.training.precision,
            "is_thorough": settings.evaluate.is_thorough,
        }

    def run(self, context: StageContext) -> None:
        """Predict all images, rank the labels, and look for near-duplicates."""
        started = time.monotonic()
        images = AuditedImages.read(context.inputs["acquire"])
        folds = context.inputs.get("cross-validate")
        seen = _look_at_all(context, images, None if folds is None else _Folds.read(folds))
        labels = tuple(
            _audit_labels(context, images, split, *judged) for split, judged in seen.judged.items()
        )
        found = _duplicates(context, images, seen.features)
        duplicates = summarize_duplicates(found, images)
        classes = context.acquired().classes
        write_text(context.folder / LABEL_ISSUES, issues_csv(labels, classes))
        write_text(context.folder / DUPLICATES, duplicates_csv(found, images, classes))
        shown = [
            *(issue.id for audit in labels for issue in audit.issues[:SHOWN_ISSUES]),
            *(
                name
                for pair in (*duplicates.shown, *duplicates.shown_alike)
                for name in (pair.first, pair.second)
            ),
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
            scores=_scores(images, seen.probabilities, found.same, classes),
            seconds=time.monotonic() - started,
        ).write(context.folder / RECORD)
        context.progress.say(_sentence(labels, found.same, images))


@dataclass(frozen=True)
class _Predictions:
    """What the trained network, and the folds' if there are any, make of the images.

    Parameters
    ----------
    features
        Of all images, by the trained network.
    probabilities
        Of the test images, shape (M, classes), as the evaluate stage has them.
    judged
        By split: probabilities to judge its labels by, and where they came from. Training images
        only if there are models that did not see them.
    """

    features: NetworkFeatures
    probabilities: Probabilities
    judged: dict[SplitName, tuple[Probabilities, str]]


@dataclass(frozen=True)
class _Folds:
    """The cross-validation whose models did not see the images that they judge.

    Parameters
    ----------
    folder
        Of the cross-validate stage.
    count
        Number of folds.
    probabilities
        Shape (N, classes): of each training image by the model of its fold.
    fold_of
        int64, shape (N,): the fold of each training image, counted from 1.
    """

    folder: Path
    count: int
    probabilities: Probabilities
    fold_of: npt.NDArray[np.int64]

    @classmethod
    def read(cls, folder: Path) -> _Folds | None:
        """Read them; None if the folds' models leak."""
        out_of_fold = folder / "out_of_fold_fresh.npz"
        if not out_of_fold.is_file():
            return None
        stored = read_arrays(out_of_fold)
        record = CrossValidateRecord.read(folder / RECORD)
        return cls(folder, record.folds, stored["probabilities"], stored["fold"])


def _look_at_all(
    context: StageContext, images: AuditedImages, folds: _Folds | None
) -> _Predictions:
    """Predict all images.

    Where a mirror image keeps its class, probabilities are averaged over an image and its mirror
    image. Labels of the test split are judged by the mean over the trained model and the folds'.
    """
    acquired = context.acquired()
    model = TrainedModel.read(context.inputs["train"], acquired)
    has_mirror = acquired.mirror_keeps_class
    parts = [images.train.images, *_views(images.test.images, has_mirror=has_mirror)]
    total = len_of_parts = sum(map(len, parts))
    if folds is not None:
        total += folds.count * sum(map(len, parts[1:])) + len(parts[0]) * has_mirror
    views = ", averaged over each image and its mirror image" if has_mirror else ""
    judged: dict[SplitName, tuple[Probabilities, str]] = {}
    with context.progress.task("Predictions of all images", total, unit="images") as task:
        predict = _Predictor(
            context.device,
            context.precision,
            task,
            context.network_work(context.settings.training.precision),
        )
        seen = [
            predict(
                model.plan,
                model.network(),
                part,
                most_bytes=MOST_KEPT_BYTES * len(part) // len_of_parts,
            )
            for part in parts
        ]
        of_test = [calibrated_probabilities(logits, model.temperature) for _, logits in seen[1:]]
        judge, source = _mean(of_test), f"the trained model{views}"
        if folds is not None:
            networks = read_fold_models(folds.folder, folds.count, acquired)
            of_train, by_folds = _judge_by_folds(predict, networks, images, folds, has_mirror)
            judge = _mean([judge, *by_folds])
            source = f"the trained model and those of the {folds.count} folds{views}"
            judged["train"] = (
                of_train,
                f"the one of {folds.count} models that was not trained on the image{views}",
            )
    judged["test"] = (judge, source)
    features = NetworkFeatures(
        joined_features([part for part, _ in seen[:2]]), seen[2][0] if has_mirror else None
    )
    return _Predictions(features, of_test[0], judged)


@dataclass(frozen=True)
class _Predictor:
    device: Device
    precision: torch.dtype
    task: Task
    work: NetworkWork

    def __call__(
        self,
        plan: NetworkPlan,
        network: ImageNetwork,
        images: AnyImages,
        *,
        most_bytes: int = MOST_KEPT_BYTES,
    ) -> tuple[Features, npt.NDArray[np.float32]]:
        """Give features and logits."""
        by_tasks = self.work.features_and_logits(plan, network, images, self.task, most_bytes)
        if by_tasks is not None:
            return by_tasks
        return stored_features_and_logits(
            network.to(self.device.torch_device),
            images,
            device=self.device,
            precision=self.precision,
            on_block=self.task.advance,
            most_bytes=most_bytes,
        )


def _judge_by_folds(
    predict: _Predictor,
    networks: Iterable[tuple[NetworkPlan, ImageNetwork]],
    images: AuditedImages,
    folds: _Folds,
    has_mirror: bool,
) -> tuple[Probabilities, list[Probabilities]]:
    """Give out-of-fold probabilities of training images, and each model's of test images."""
    of_train, of_test = folds.probabilities.copy(), []
    for fold, (plan, network) in enumerate(networks, start=1):
        views = _views(images.test.images, has_mirror=has_mirror)
        of_test.append(
            _mean([probabilities_from_logits(predict(plan, network, view)[1]) for view in views])
        )
        if has_mirror:
            own = np.flatnonzero(folds.fold_of == fold)
            _, logits = predict(plan, network, mirrored(some_images(images.train.images, own)))
            of_train[own] = _mean([of_train[own], probabilities_from_logits(logits)])
    return of_train, of_test


def _views(images: AnyImages, *, has_mirror: bool) -> list[AnyImages]:
    return [images, mirrored(images)] if has_mirror else [images]


def _mean(parts: list[Probabilities]) -> Probabilities:
    mean: npt.NDArray[np.float64] = np.stack(parts).astype(np.float64).mean(axis=0)
    return mean.astype(np.float32)


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
) -> NearDuplicates:
    least_agreement = context.settings.audit.least_agreement
    exact = exact_groups(images.train.images, images.test.images)
    if min(images.train.images.shape[1:3]) < SMALLEST_SIDE_PX:
        return NearDuplicates.copies(exact, least_agreement)
    return find_near_duplicates(
        (images.train.images, images.test.images),
        features,
        exact,
        images.labels,
        least_agreement=least_agreement,
        progress=context.progress,
        most_looks=_most_looks(context, len(images)),
    )


def _most_looks(context: StageContext, images: int) -> int | None:
    if context.settings.evaluate.is_thorough:
        return None
    return looks_in_proportion(TrainRecord.read(context.inputs["train"] / RECORD), images)


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
