"""Trials of a search: what each computes, wherever that is, and the time there is for all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tenfold.core.errors import ImageShapeError, RunFolderError, SettingsError, TrainingError
from tenfold.core.randomness import derive_seed
from tenfold.core.record import Record
from tenfold.core.records.training import EpochRecord
from tenfold.study.kept_features import known_features
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.packing import Values
from tenfold.study.scaling.work import Common, Desk, DoTask
from tenfold.study.search.space import SearchedImages
from tenfold.study.settings import TuneSettings
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.device import Device
from tenfold.training.fit import fit_network
from tenfold.training.loop import Trainer

_SECONDS_BETWEEN_NOTES = 1.0


@dataclass(frozen=True)
class TrialRunner:
    """Does what a trial computes; what it draws, and when it ends early, is the driver's.

    Parameters
    ----------
    settings
        The study's, with `tune.epochs` as they are trained.
    images
        To train on and to score by.
    device
        Where to compute.
    """

    settings: StudySettings
    images: SearchedImages
    device: Device

    def run(self, number: int, settings: StudySettings, desk: Desk) -> TrialResult:
        """Run a trial's executions, or go on with them; what is finished is kept.

        Parameters
        ----------
        number
            Of the trial.
        settings
            The study's with the values that the trial drew.
        desk
            Asked after each epoch whether the trial goes on.
        """
        try:
            values = [
                self._execute(number, execution, settings, desk).value
                for execution in range(self.settings.tune.executions_per_trial)
            ]
        except _PrunedError:
            return TrialResult(is_pruned=True)
        except (TrainingError, ImageShapeError, SettingsError, MemoryError) as error:
            return TrialResult(reason=str(error) or type(error).__name__)
        return TrialResult(value=float(np.mean(values)))

    def _execute(
        self, number: int, execution: int, settings: StudySettings, desk: Desk
    ) -> ExecutionRecord:
        """Train once, or read what an earlier attempt left."""
        path = execution_path(desk.folder, number, execution)
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
        title = trial_title(number, tune)
        if tune.executions_per_trial > 1:
            title += f", execution {execution + 1}/{tune.executions_per_trial}"
        checkpoint = Checkpoint(path.with_suffix(".safetensors"))

        def on_epoch(epoch: EpochRecord) -> None:
            question = {"execution": execution, "epoch": epoch.model_dump()}
            if desk.ask(question)["is_pruned"]:
                raise _PrunedError

        trainer = Trainer(
            training,
            derive_seed(self.settings.seed, "trial", number, "execution", execution),
            self.device,
            mirror_keeps_class=acquired.mirror_keeps_class,
            checkpoint=checkpoint,
            progress=desk.progress,
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


class _PrunedError(Exception):
    """The driver ended the trial."""


class TrialResult(Record):
    """How a trial ended: with a value, pruned, or for a reason."""

    value: float | None = None
    is_pruned: bool = False
    reason: str | None = None


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


def trial_title(number: int, tune: TuneSettings) -> str:
    """Give a trial's name for people."""
    return f"Trial {number + 1}" + ("" if tune.trials is None else f"/{tune.trials}")


def execution_path(work: Path, number: int, execution: int) -> Path:
    """Give where a finished execution of a trial is kept."""
    return work / f"trial_{number}_execution_{execution}.json"


def trial_files(number: int) -> str:
    """Give the pattern of the files that are a trial's."""
    return f"trial_{number}_execution_*"


def trial_worker(common: Common) -> DoTask:
    """Get ready to run trials; a `WorkerFunction`."""
    settings = StudySettings.resolve(common.values["settings"])
    images = SearchedImages.read(common.folders["acquire"], settings)
    runner = TrialRunner(settings, images, common.device)

    def do(inputs: Values, desk: Desk) -> bytes:
        drawn = StudySettings.resolve(inputs["settings"])
        with known_features(common.folders):
            result = runner.run(inputs["number"], drawn, desk)
        return result.model_dump_json().encode()

    return do


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
