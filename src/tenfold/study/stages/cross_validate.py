"""Cross-validate: k folds of the training split, every image predicted by a model of its fold."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.randomness import derive_seed
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import CrossValidateRecord, FoldScores, ProtocolRecord
from tenfold.data.dataset import (
    Groups,
    ImageSplit,
    Indices,
    read_arrays,
    read_groups,
    read_order,
    read_split,
    write_arrays,
)
from tenfold.data.folds import ordered_folds, plan_folds, stratified_folds
from tenfold.data.splits import possible_holdout, regrouped
from tenfold.evaluation.differences import (
    fold_intervals,
    fold_means,
    fold_standard_deviations,
)
from tenfold.evaluation.scores import classification_scores
from tenfold.study.recipe import StudySettings
from tenfold.study.stages.stage import RECORD, Stage, StageContext, TrainedModel, write_fold_model
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.fit import FittedNetwork, fit_network
from tenfold.training.inference import predict_logits, probabilities_from_logits
from tenfold.training.loop import Trainer
from tenfold.training.settings import TrainingSettings

_DESCRIPTIONS = {
    "fresh": "A new model a fold, trained on the other folds alone.",
    "warm-start": (
        "Every fold starts from the trained model, which has already seen the fold's validation "
        "images: the scores are those of a leak, not of new images."
    ),
}


_BLOCKS = "The folds are blocks of time, each scored by a model of all others, earlier and later."
_NO_BLOCKS = (
    "The images have too few different times to cut folds by, so these were drawn by class instead."
)


class CrossValidateStage(Stage):
    """Trains and scores every fold; complete folds are kept when the process is killed."""

    name = "cross-validate"
    position = 6
    version = 6
    summary = "k-fold cross-validation"
    is_training = True
    is_dispensable = True
    needed = ("acquire", "tune")

    def is_enabled(self, settings: StudySettings) -> bool:
        """Say whether the settings ask for it."""
        return settings.cross_validate.is_enabled

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give the search too, if there is one, and the training that a warm start begins from."""
        is_warm = "warm-start" in settings.cross_validate.protocols
        return (*super().needs(settings), *(["train"] if is_warm else []))

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the settings of the folds and of what is trained in them."""
        return {"cross_validate": settings.cross_validate.plain(), **settings.result_settings()}

    def run(self, context: StageContext) -> None:
        """Run every protocol over the same folds."""
        acquired = context.acquired()
        settings = context.tuned_settings()
        split = read_split(context.inputs["acquire"], "train")
        groups = read_groups(context.inputs["acquire"])
        plan = plan_folds(split.labels, settings.cross_validate.folds, classes=acquired.classes)
        if plan.folds == 0:
            CrossValidateRecord(folds=0, protocols=(), notes=plan.notes).write(
                context.folder / RECORD
            )
            return
        order, notes = read_order(context.inputs["acquire"]), plan.notes
        blocks = None if order is None else ordered_folds(order, plan.folds, groups)
        if order is not None:
            notes += (_BLOCKS if blocks is not None else _NO_BLOCKS,)
        folds = blocks or stratified_folds(
            split.labels,
            plan.folds,
            derive_seed(settings.seed, "folds"),
            alone=plan.alone,
            classes=acquired.classes,
            groups=groups,
        )
        protocols = tuple(
            _Protocol(name, context, settings, acquired, split, groups, folds).run()
            for name in settings.cross_validate.protocols
        )
        CrossValidateRecord(folds=len(folds), protocols=protocols, notes=notes).write(
            context.folder / RECORD
        )


@dataclass(frozen=True)
class _Protocol:
    name: str
    context: StageContext
    settings: StudySettings
    acquired: AcquireRecord
    split: ImageSplit
    groups: Groups
    folds: list[tuple[Indices, Indices]]

    def run(self) -> ProtocolRecord:
        """Run all folds, and join their predictions into one row an image."""
        training = self._training()
        shape = len(self.split), len(self.acquired.classes)
        probabilities = np.full(shape, np.nan, np.float32)
        fold_of = np.zeros(len(self.split), np.int64)
        scores = []
        for fold, (train, validation) in enumerate(self.folds, start=1):
            fold_scores, probabilities[validation] = self._fold(fold, train, validation, training)
            fold_of[validation] = fold
            scores.append(fold_scores)
        write_arrays(
            self.context.folder / f"out_of_fold_{self.name}.npz",
            probabilities=probabilities,
            fold=fold_of,
        )
        is_leaky = self.name == "warm-start"
        held_out = fold_of > 0
        pooled = classification_scores(
            self.split.labels[held_out], probabilities[held_out], self.acquired.classes
        )
        seed = derive_seed(self.settings.seed, "cross-validate", "intervals")
        return ProtocolRecord(
            name=self.name,
            is_leaky=is_leaky,
            description=_DESCRIPTIONS[self.name],
            epochs=round(statistics.median(fold_scores.epochs for fold_scores in scores)),
            batch_size=training.batch_size,
            optimizer=training.optimizer,
            augmentation=training.augmentation,
            folds=tuple(scores),
            means=fold_means(scores),
            standard_deviations=fold_standard_deviations(scores),
            intervals={}
            if is_leaky
            else fold_intervals(scores, pooled, np.random.default_rng(seed)),
            seconds=sum(fold_scores.seconds for fold_scores in scores),
        )

    def _training(self) -> TrainingSettings:
        training = self.settings.training
        if self.name == "fresh":
            epochs = self.settings.cross_validate.epochs or training.epochs
            budget = self.settings.cross_validate.budget_seconds
            seconds = training.budget_seconds if budget is None else budget / len(self.folds)
            return training.model_copy(update={"epochs": epochs, "budget_seconds": seconds})
        warm_start = self.settings.cross_validate.warm_start
        # The optimiser is another one than the training's, so its settings are its own defaults.
        return training.model_copy(
            update={
                **warm_start.plain(),
                "budget_seconds": None,
                "learning_rate": None,
                "schedule": "constant",
                "low_resolution_share": 0.0,
            }
        )

    def _fold(
        self, fold: int, train: Indices, validation: Indices, training: TrainingSettings
    ) -> tuple[FoldScores, npt.NDArray[np.float32]]:
        """Train and score one fold, or read what an earlier attempt left of it."""
        checkpoint, record_path, predictions_path = (
            self.context.work / f"{self.name}_{fold}.{ending}"
            for ending in ("safetensors", "json", "npz")
        )
        if record_path.is_file() and predictions_path.is_file():
            return FoldScores.read(record_path), read_arrays(predictions_path)["probabilities"]
        fitted, probabilities = self._train(fold, train, validation, training, checkpoint)
        scores = classification_scores(
            self.split.labels[validation], probabilities, self.acquired.classes
        )
        record = FoldScores(
            fold=fold,
            train_count=len(train),
            validation_count=len(validation),
            epochs=len(fitted.history),
            accuracy=scores.accuracy,
            macro_precision=scores.macro_precision,
            macro_recall=scores.macro_recall,
            macro_f1=scores.macro_f1,
            seconds=fitted.seconds,
        )
        write_arrays(predictions_path, probabilities=probabilities)
        record.write(record_path)
        return record, probabilities

    def _train(
        self,
        fold: int,
        train: Indices,
        validation: Indices,
        training: TrainingSettings,
        checkpoint: Path,
    ) -> tuple[FittedNetwork, npt.NDArray[np.float32]]:
        seed = derive_seed(self.settings.seed, "fold", self.name, fold)
        inner_train, inner_validation = self.split.take(train), None
        if training.watched_settings and training.validation_fraction:
            # The best epoch is chosen by images of the training folds: choosing it by the fold's
            # own validation images would make its scores optimistic.
            kept, held_out, _ = possible_holdout(
                inner_train.labels,
                fraction=training.validation_fraction,
                method="stratified",
                seed=seed,
                groups=regrouped(self.groups, train),
            )
            if len(held_out):
                inner_train, inner_validation = inner_train.take(kept), inner_train.take(held_out)
            else:
                training = training.without_validation()
        trainer = Trainer(
            training,
            seed,
            self.context.device,
            mirror_keeps_class=self.acquired.mirror_keeps_class,
            classes=self.acquired.classes,
            checkpoint=Checkpoint(checkpoint),
            progress=self.context.progress,
            title=f"Fold {fold}/{len(self.folds)}, {self.name}",
        )
        plan = self.settings.network_plan(self.acquired.image_shape, len(self.acquired.classes))
        initial_weights = None
        if self.name == "warm-start":
            trained = TrainedModel.read(self.context.inputs["train"], self.acquired)
            initial_weights = trained.weights
        fitted = fit_network(
            trainer, plan, inner_train, inner_validation, initial_weights=initial_weights
        )
        if self.name == "fresh":
            write_fold_model(self.context.folder, fold, fitted)
        logits = predict_logits(
            fitted.network,
            self.split.images[validation],
            device=self.context.device,
            precision=trainer.precision,
        )
        return fitted, probabilities_from_logits(logits)


STAGE = CrossValidateStage()
