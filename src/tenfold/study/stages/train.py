"""Train: fit the network with the chosen settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tenfold.core.files import write_text
from tenfold.core.records.training import EpochRecord, TrainRecord
from tenfold.core.text import csv_line
from tenfold.models.summary import summarize_layers
from tenfold.study.kept_features import keep_features
from tenfold.study.prepared_training import PreparedTraining
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.sharing import SharedPlace
from tenfold.study.shared_training import SharedTraining, check_devices, check_workers
from tenfold.study.stages.stage import (
    BEST_WEIGHTS,
    LAST_WEIGHTS,
    RECORD,
    TEMPERATURE,
    Stage,
    StageContext,
)
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.fit import fit_network
from tenfold.training.optimizers import peak_learning_rate
from tenfold.training.temperature import validation_temperature
from tenfold.training.tensors import write_tensors


class TrainStage(Stage):
    """Trains one network on the training split, a part of it held out to watch by."""

    name = "train"
    position = 4
    version = 3
    summary = "train the network"
    is_training = True
    needed = ("acquire", "tune")

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the settings of model and training, and the seed."""
        return settings.result_settings()

    def run(self, context: StageContext) -> None:
        """Train, or go on from the checkpoint, and write weights, history and record."""
        settings = context.tuned_settings()
        prepared = PreparedTraining.read(settings, context.inputs["acquire"], context.device)
        validation, note = prepared.validation, prepared.note
        trainer = replace(
            prepared.trainer,
            checkpoint=Checkpoint(context.work / "checkpoint.safetensors"),
            progress=context.progress,
            started_at=context.started_at,
        )
        shared = _shared(context, settings)
        if context.place.jobs > 1 and settings.training.budget_seconds is None:
            keep_features(
                prepared.plan,
                prepared.train.images,
                None if validation is None else validation.images,
                mirror_keeps_class=prepared.acquired.mirror_keeps_class,
                work=context.network_work(settings.training.precision),
            )
        fitted = fit_network(
            trainer,
            prepared.plan,
            prepared.train,
            validation,
            shared_by=None if shared is None else shared.run,
        )
        plan, training, chosen = fitted.plan, fitted.settings, fitted.chosen_weights
        temperature = validation_temperature(
            fitted.network, validation, device=context.device, precision=trainer.precision
        )
        metadata = {} if temperature is None else {TEMPERATURE: repr(temperature)}
        write_tensors(
            context.folder / LAST_WEIGHTS,
            fitted.last_weights,
            metadata if chosen == "last" else {},
        )
        if fitted.best_weights:
            write_tensors(
                context.folder / BEST_WEIGHTS,
                fitted.best_weights,
                metadata if chosen == "best" else {},
            )
        write_text(context.folder / "history.csv", _history_csv(fitted.history))
        table = summarize_layers(fitted.network.body, plan.image_shape)
        TrainRecord(
            model=plan.model,
            model_settings=plan.settings.plain(),
            optimizer=training.optimizer,
            learning_rate=peak_learning_rate(training),
            batch_size=training.batch_size,
            epochs=len(fitted.history),
            budget=fitted.budget,
            probe=fitted.probe,
            augmentation=training.augmentation,
            rebalancing=fitted.rebalancing,
            averaging=training.averaging if fitted.is_averaged else "none",
            stopped_early=fitted.stopped_early,
            normalization=training.normalization,
            train_count=len(prepared.train_indices),
            validation_count=len(prepared.validation_indices),
            notes=() if note is None else (note,),
            history=fitted.history,
            best_epoch=fitted.best_epoch,
            chosen_weights=chosen,
            temperature=temperature,
            layers=table.layers,
            parameter_count=sum(p.numel() for p in fitted.network.parameters()),
            multiply_adds=table.multiply_adds,
            device=context.device.description,
            precision=context.device.precision_name(training.precision),
            threads=context.device.threads if training.micro_batches is None else 1,
            seconds=fitted.seconds,
        ).write(context.folder / RECORD)


def _shared(context: StageContext, settings: StudySettings) -> SharedTraining | None:
    """Give the driver of the training where several workers share it."""
    place = context.place
    if not isinstance(place, SharedPlace) or place.workers == 1:
        return None
    check_workers(settings, place.workers)
    check_devices(place, context.device)
    return SharedTraining(
        place,
        settings,
        context.inputs["acquire"],
        context.device,
        context.work,
        context.progress,
    )


def _history_csv(history: tuple[EpochRecord, ...]) -> str:
    rows = [list(EpochRecord.model_fields), *(epoch.model_dump().values() for epoch in history)]
    return "".join(map(csv_line, rows))


STAGE = TrainStage()
