"""Trials of a search: trained here or in worker processes, within the time there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import Trial, TrialState

from tenfold.core.errors import ImageShapeError, RunFolderError, SettingsError, TrainingError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.randomness import derive_seed
from tenfold.core.record import Record
from tenfold.core.records.training import EpochRecord
from tenfold.core.records.tuning import ParameterValue, SearchDimension
from tenfold.study.recipe import StudySettings
from tenfold.study.search.optuna_study import (
    EpochPruner,
    find_trial,
    open_study,
    quiet_optuna,
    suggest,
)
from tenfold.study.search.space import SearchedImages, is_active, search_space
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.device import Device, choose_device
from tenfold.training.fit import fit_network
from tenfold.training.loop import Trainer

REASON = "reason"
"""Under which the journal keeps why a trial failed."""
_SECONDS_BETWEEN_NOTES = 1.0


@dataclass(frozen=True)
class TrialRunner:
    """Runs trials, one at a time; what is finished of one is kept.

    Parameters
    ----------
    settings
        The study's; a trial changes what `space` names.
    images
        To train on and to score by.
    device
        Where to compute.
    work
        Folder of the journal, of finished executions and of the running ones' checkpoints.
    progress
        Who is told.
    limit
        The search's time, noted after each epoch; None in a worker, whose parent does it.
    """

    settings: StudySettings
    images: SearchedImages
    device: Device
    work: Path
    progress: Progress
    limit: TimeLimit | None = None

    @cached_property
    def space(self) -> tuple[SearchDimension, ...]:
        """Give what is searched."""
        return search_space(self.settings)

    def run(self, study: optuna.Study, trial: Trial) -> None:
        """Run a trial, or go on with it, and tell the journal how it ended."""
        try:
            settings = self.settings.with_changes(self._values(study, trial))
            accuracies = [
                self._execute(trial, execution, settings).value
                for execution in range(self.settings.tune.executions_per_trial)
            ]
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except (TrainingError, ImageShapeError, SettingsError, MemoryError) as error:
            trial.set_user_attr(REASON, str(error) or type(error).__name__)
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, float(np.mean(accuracies)))

    def executions(self, number: int) -> list[ExecutionRecord]:
        """Give a trial's finished executions."""
        return [
            ExecutionRecord.read(path)
            for execution in range(self.settings.tune.executions_per_trial)
            if (path := self._path(number, execution, "json")).is_file()
        ]

    def _values(self, study: optuna.Study, trial: Trial) -> dict[str, ParameterValue]:
        base = self.settings
        flat, model = base.flat(), base.model.name
        values: dict[str, ParameterValue] = {}
        for dimension in self.space:
            if (drawn := values.get("model.name", model)) != model:
                # Conditions on settings that are not searched are about the drawn model's.
                model = str(drawn)
                flat = base.with_changes({"model.name": model}).flat()
            if is_active(dimension, values, flat):
                values[dimension.name] = suggest(study, trial, dimension, base.tune, base.seed)
        return values

    def _execute(self, trial: Trial, execution: int, settings: StudySettings) -> ExecutionRecord:
        """Train once, or read what an earlier attempt left."""
        path = self._path(trial.number, execution, "json")
        if path.is_file():
            return ExecutionRecord.read(path)
        tune = self.settings.tune
        training = settings.training.model_copy(
            update={
                "epochs": tune.epochs,
                "least_steps": 0,
                "budget_seconds": None,
                "batch_size": tune.batch_size,
                "weights": "last",
            }
        )
        acquired = self.images.acquired
        plan = settings.network_plan(acquired.image_shape, len(acquired.classes))
        title = f"Trial {trial.number + 1}"
        if tune.trials is not None:
            title += f"/{tune.trials}"
        if tune.executions_per_trial > 1:
            title += f", execution {execution + 1}/{tune.executions_per_trial}"
        checkpoint = Checkpoint(self._path(trial.number, execution, "safetensors"))
        pruner = EpochPruner(trial) if execution == 0 and tune.pruner != "none" else None

        def on_epoch(epoch: EpochRecord) -> None:
            if self.limit is not None:
                self.limit.note()
            if pruner is not None:
                pruner(epoch)

        trainer = Trainer(
            training,
            derive_seed(self.settings.seed, "trial", trial.number, "execution", execution),
            self.device,
            mirror_keeps_class=acquired.mirror_keeps_class,
            checkpoint=checkpoint,
            progress=self.progress,
            title=title,
            on_epoch=on_epoch,
        )
        fitted = fit_network(trainer, plan, self.images.train, self.images.validation)
        record = ExecutionRecord(
            value=max(epoch.validation_accuracy or 0.0 for epoch in fitted.history),
            epochs=len(fitted.history),
            seconds=fitted.seconds,
        )
        record.write(path)
        checkpoint.path.unlink(missing_ok=True)
        return record

    def _path(self, number: int, execution: int, suffix: str) -> Path:
        return self.work / f"trial_{number}_execution_{execution}.{suffix}"


class ExecutionRecord(Record):
    """One training of a trial."""

    value: float
    epochs: int
    seconds: float


def trial_epochs(settings: StudySettings, image_count: int) -> int:
    """Give the epochs of a trial's training: `tune.epochs`, or more if the least steps say so.

    Parameters
    ----------
    settings
        Of the study.
    image_count
        Images that each trial trains on.
    """
    tune = settings.tune
    training = settings.training.model_copy(update={"epochs": tune.epochs})
    return training.epochs_for(-(-image_count // tune.batch_size))


class SearchRequest(Record):
    """What all trials have in common that other processes run."""

    settings: dict[str, Any]
    acquire: Path
    work: Path
    device: str
    threads: int


def trial_worker(request: Path) -> Callable[[int], None]:
    """Get ready to run trials by their numbers; a `WorkerFunction`."""
    search = SearchRequest.read(request)
    settings = StudySettings.resolve(search.settings)
    device = choose_device(search.device)
    torch.set_num_threads(search.threads)
    runner = TrialRunner(
        settings=settings,
        images=SearchedImages.read(search.acquire, settings),
        device=replace(device, threads=search.threads),
        work=search.work,
        progress=SilentProgress(),
    )
    with quiet_optuna():
        study = open_study(search.work / "journal.log", settings.tune)

    def run(number: int) -> None:
        with quiet_optuna():
            trial = find_trial(study, number)
            if trial is not None:
                runner.run(study, trial)

    return run


class TimeLimit:
    """Says when no further trial may begin.

    What is spent is noted on disk about every second, so a kill costs no more of it.

    Parameters
    ----------
    seconds
        The limit; None for none.
    path
        Where the time spent is kept.
    """

    def __init__(self, seconds: float | None, path: Path) -> None:
        self.seconds = seconds
        self._path = path
        try:
            self._before = _Spent.read(path).seconds
        except RunFolderError:  # nothing was spent yet
            self._before = 0.0
        self._started = self._noted = time.monotonic()

    def spent(self) -> float:
        """Give the seconds spent so far, earlier attempts included."""
        return self._before + time.monotonic() - self._started

    def is_over(self) -> bool:
        """Say whether the time is up."""
        return self.seconds is not None and self.spent() >= self.seconds

    def note(self, *, is_due: bool = False) -> None:
        """Write the time spent down, if the last note is old or this one `is_due`."""
        now = time.monotonic()
        if self.seconds is not None and (is_due or now - self._noted >= _SECONDS_BETWEEN_NOTES):
            _Spent(seconds=self.spent()).write(self._path)
            self._noted = now


class _Spent(Record):
    seconds: float
