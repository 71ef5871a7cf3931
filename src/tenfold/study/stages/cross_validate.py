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
    read_labels,
    read_order,
    read_split,
    write_arrays,
)
from tenfold.data.folds import ordered_folds, plan_folds, stratified_folds
from tenfold.data.splits import possible_holdout, regrouped
from tenfold.data.store import some_images
from tenfold.evaluation.differences import (
    fold_intervals,
    fold_means,
    fold_standard_deviations,
)
from tenfold.evaluation.scores import classification_scores
from tenfold.study.kept_features import feature_folders, keep_features, known_features
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.packing import Values
from tenfold.study.scaling.work import Common, Desk, DoTask, Task, Work, run_tasks
from tenfold.study.stages.stage import (
    RECORD,
    Stage,
    StageContext,
    TrainedModel,
    move_fold_model,
    write_fold_model,
)
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.device import Device
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
        labels = read_labels(context.inputs["acquire"], "train")
        plan = plan_folds(labels, settings.cross_validate.folds, classes=acquired.classes)
        if plan.folds == 0:
            CrossValidateRecord(folds=0, protocols=(), notes=plan.notes).write(
                context.folder / RECORD
            )
            return
        protocols = tuple(
            _Protocol(
                FoldTrainer.read(name, settings, context.inputs["acquire"], context.device), context
            ).run()
            for name in settings.cross_validate.protocols
        )
        notes = (*plan.notes, *_notes_on_time(context.inputs["acquire"], plan.folds))
        CrossValidateRecord(folds=plan.folds, protocols=protocols, notes=notes).write(
            context.folder / RECORD
        )


def _notes_on_time(acquire: Path, folds: int) -> tuple[str, ...]:
    """Say how images that have an order in time were cut."""
    order = read_order(acquire)
    if order is None:
        return ()
    return (_NO_BLOCKS if ordered_folds(order, folds, read_groups(acquire)) is None else _BLOCKS,)


@dataclass(frozen=True)
class _Protocol:
    trainer: FoldTrainer
    context: StageContext

    def run(self) -> ProtocolRecord:
        """Run all folds, and join their predictions into one row an image."""
        trainer, name = self.trainer, self.trainer.name
        training = trainer.training()
        split, acquired = trainer.split, trainer.acquired
        shape = len(split), len(acquired.classes)
        probabilities = np.full(shape, np.nan, np.float32)
        fold_of = np.zeros(len(split), np.int64)
        scores = []
        self._train_folds()
        for fold, (_, validation) in enumerate(trainer.folds, start=1):
            fold_scores, probabilities[validation] = self._read(fold)
            fold_of[validation] = fold
            scores.append(fold_scores)
        write_arrays(
            self.context.folder / f"out_of_fold_{name}.npz",
            probabilities=probabilities,
            fold=fold_of,
        )
        is_leaky = name == "warm-start"
        held_out = fold_of > 0
        pooled = classification_scores(
            split.labels[held_out], probabilities[held_out], acquired.classes
        )
        seed = derive_seed(trainer.settings.seed, "cross-validate", "intervals")
        return ProtocolRecord(
            name=name,
            is_leaky=is_leaky,
            description=_DESCRIPTIONS[name],
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

    def _train_folds(self) -> None:
        """Train and score the folds that an earlier attempt did not leave."""
        context, trainer = self.context, self.trainer
        count = len(trainer.folds)
        missing = [
            fold
            for fold in range(1, count + 1)
            if not all(path.is_file() for path in trainer.paths(context.work, fold))
        ]
        if missing:
            self._keep_features()
        needed = ("acquire", "train") if trainer.name == "warm-start" else ("acquire",)
        work = Work(
            fold_worker,
            context.work,
            values={"settings": trainer.settings.flat(), "protocol": trainer.name},
            folders={name: context.inputs[name] for name in needed} | feature_folders(),
            device=context.device,
            seconds_between_files=trainer.settings.training.checkpoint_seconds,
        )
        tasks = [Task(trainer.title(n), {"fold": n}, files=f"*_{n}.*") for n in missing]
        with context.progress.task(
            f"Folds, {trainer.name}", count, done=count - len(tasks), unit="folds"
        ) as bar:
            run_tasks(
                context.place,
                work,
                tasks,
                lambda *_: bar.advance(),
                on_look=lambda state: bar.advance(0, detail=state),
                progress=context.progress,
            )
        for fold in range(1, count + 1):
            move_fold_model(context.work, context.folder, fold)

    def _keep_features(self) -> None:
        """Compute what all folds read of a frozen backbone, which is the same in each."""
        trainer, context = self.trainer, self.context
        training, acquired = trainer.training(), trainer.acquired
        if trainer.name != "fresh" or training.budget_seconds is not None:
            return  # a trained network is another one, and a budget chooses what is computed
        keep_features(
            trainer.settings.network_plan(acquired.image_shape, len(acquired.classes)),
            trainer.split.images,
            mirror_keeps_class=acquired.mirror_keeps_class,
            work=context.network_work(training.precision),
        )

    def _read(self, fold: int) -> tuple[FoldScores, npt.NDArray[np.float32]]:
        record_path, predictions_path = self.trainer.paths(self.context.work, fold)
        return FoldScores.read(record_path), read_arrays(predictions_path)["probabilities"]


@dataclass(frozen=True)
class FoldTrainer:
    """Trains and scores the folds of one protocol, wherever that is.

    Parameters
    ----------
    name
        Of the protocol.
    settings
        The study's, tuned.
    acquired, split, groups
        The training images, and what is known of them.
    folds
        Places of the images to train on and to score, by fold.
    device
        Where to compute.
    trained
        Folder of the trained model that a warm start begins from.
    """

    name: str
    settings: StudySettings
    acquired: AcquireRecord
    split: ImageSplit
    groups: Groups
    folds: list[tuple[Indices, Indices]]
    device: Device
    trained: Path | None = None

    @classmethod
    def read(
        cls,
        name: str,
        settings: StudySettings,
        acquire: Path,
        device: Device,
        trained: Path | None = None,
    ) -> FoldTrainer:
        """Plan the folds of what the acquire stage left: the same, wherever that is done."""
        acquired = AcquireRecord.read(acquire / RECORD)
        split, groups = read_split(acquire, "train"), read_groups(acquire)
        plan = plan_folds(split.labels, settings.cross_validate.folds, classes=acquired.classes)
        order = read_order(acquire)
        blocks = None if order is None else ordered_folds(order, plan.folds, groups)
        folds = blocks or stratified_folds(
            split.labels,
            plan.folds,
            derive_seed(settings.seed, "folds"),
            alone=plan.alone,
            classes=acquired.classes,
            groups=groups,
        )
        return cls(name, settings, acquired, split, groups, folds, device, trained)

    def title(self, fold: int) -> str:
        """Give a fold's name for people."""
        return f"Fold {fold}/{len(self.folds)}, {self.name}"

    def paths(self, work: Path, fold: int) -> tuple[Path, Path]:
        """Give where the scores and the predictions of a finished fold are kept."""
        return work / f"{self.name}_{fold}.json", work / f"{self.name}_{fold}.npz"

    def training(self) -> TrainingSettings:
        """Give how the folds are trained."""
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

    def run(self, fold: int, desk: Desk) -> None:
        """Train and score one fold, and keep what it found in the files of `paths`."""
        train, validation = self.folds[fold - 1]
        record_path, predictions_path = self.paths(desk.folder, fold)
        if record_path.is_file() and predictions_path.is_file():
            return
        fitted, probabilities = self._train(fold, train, validation, desk)
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

    def _train(
        self,
        fold: int,
        train: Indices,
        validation: Indices,
        desk: Desk,
    ) -> tuple[FittedNetwork, npt.NDArray[np.float32]]:
        training = self.training()
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
            self.device,
            mirror_keeps_class=self.acquired.mirror_keeps_class,
            classes=self.acquired.classes,
            checkpoint=Checkpoint(desk.folder / f"{self.name}_{fold}.safetensors"),
            progress=desk.progress,
            title=self.title(fold),
        )
        plan = self.settings.network_plan(self.acquired.image_shape, len(self.acquired.classes))
        initial_weights = None
        if self.name == "warm-start":
            assert self.trained is not None
            initial_weights = TrainedModel.read(self.trained, self.acquired).weights
        fitted = fit_network(
            trainer, plan, inner_train, inner_validation, initial_weights=initial_weights
        )
        if self.name == "fresh":
            write_fold_model(desk.folder, fold, fitted)
        logits = predict_logits(
            fitted.network,
            some_images(self.split.images, validation),
            device=self.device,
            precision=trainer.precision,
        )
        return fitted, probabilities_from_logits(logits)


def fold_worker(common: Common) -> DoTask:
    """Get ready to train folds; a `WorkerFunction`."""
    trainer = FoldTrainer.read(
        common.values["protocol"],
        StudySettings.resolve(common.values["settings"]),
        common.folders["acquire"],
        common.device,
        common.folders.get("train"),
    )

    def do(inputs: Values, desk: Desk) -> bytes:
        with known_features(common.folders):
            trainer.run(inputs["fold"], desk)
        return b""

    return do


STAGE = CrossValidateStage()
