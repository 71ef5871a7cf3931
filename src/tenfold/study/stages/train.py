"""Train: fit the network with the chosen settings."""

from __future__ import annotations

from typing import Any

from tenfold.core.files import write_text
from tenfold.core.records.training import EpochRecord, TrainRecord
from tenfold.core.text import csv_line
from tenfold.data.dataset import read_split
from tenfold.models.summary import summarize_layers
from tenfold.study.recipe import StudySettings
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
from tenfold.training.loop import Trainer
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
        training = settings.training
        acquired = context.acquired()
        split = read_split(context.inputs["acquire"], "train")
        train_indices, validation_indices, note = settings.hold_out(
            context.inputs["acquire"], split.labels, acquired.classes
        )
        plan = settings.network_plan(acquired.image_shape, len(acquired.classes))
        validation = split.take(validation_indices) if len(validation_indices) else None
        if note is not None and validation is None:
            training = training.without_validation()
        trainer = Trainer(
            training,
            settings.seed,
            context.device,
            mirror_keeps_class=acquired.mirror_keeps_class,
            classes=acquired.classes,
            checkpoint=Checkpoint(context.work / "checkpoint.safetensors"),
            progress=context.progress,
            started_at=context.started_at,
        )
        fitted = fit_network(trainer, plan, split.take(train_indices), validation)
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
            train_count=len(train_indices),
            validation_count=len(validation_indices),
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
            threads=context.device.threads,
            seconds=fitted.seconds,
        ).write(context.folder / RECORD)


def _history_csv(history: tuple[EpochRecord, ...]) -> str:
    rows = [list(EpochRecord.model_fields), *(epoch.model_dump().values() for epoch in history)]
    return "".join(map(csv_line, rows))


STAGE = TrainStage()
