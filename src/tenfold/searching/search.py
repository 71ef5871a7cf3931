"""The trials of a search: each trains with other settings; what is finished is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tenfold.core.errors import ImageShapeError, SettingsError, TrainingError
from tenfold.core.progress import Progress
from tenfold.core.records.record import Record
from tenfold.core.records.tune import ParameterValue, SearchDimension, TrialRecord, TuneRecord
from tenfold.data.dataset import ImageSplit
from tenfold.data.sample_randomness import derive_seed
from tenfold.engine.checkpoint import Checkpoint
from tenfold.engine.device import Device
from tenfold.fitting import NetworkPlan, fit_network
from tenfold.recipe import StudySettings
from tenfold.searching.optuna_study import (
    EpochPruner,
    best_so_far,
    importances,
    next_trial,
    open_study,
    quiet_optuna,
    suggest,
)
from tenfold.searching.space import is_active

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_REASON = "reason"


class ExecutionRecord(Record):
    """One training of a trial."""

    value: float
    epochs: int
    seconds: float


@dataclass(frozen=True)
class Search:
    """All trials of a study.

    Parameters
    ----------
    settings
        The study's; a trial changes what `space` names.
    space
        What is searched.
    train, validation
        The images to fit to, and those that score an execution.
    image_shape
        Height, width and channels.
    class_count
        Number of classes.
    mirror_keeps_class
        Whether augmentation may flip.
    device
        Where to compute.
    work
        Folder of the journal, of finished executions and of the running one's checkpoint.
    progress
        Who is told.
    """

    settings: StudySettings
    space: tuple[SearchDimension, ...]
    train: ImageSplit
    validation: ImageSplit
    image_shape: tuple[int, int, int]
    class_count: int
    mirror_keeps_class: bool
    device: Device
    work: Path
    progress: Progress

    def run(self) -> TuneRecord:
        """Do the trials that are missing; give all of them.

        Raises
        ------
        TrainingError
            If no trial succeeded.
        """
        with quiet_optuna():
            return self._run()

    def _run(self) -> TuneRecord:
        study = open_study(self.work / "journal.log", self.settings.tune)
        tune = self.settings.tune
        finished = sum(trial.state.is_finished() for trial in study.trials)
        with self.progress.task("Search", tune.trials, done=finished, unit="trials") as task:
            while finished < tune.trials:
                self._try(study, next_trial(study))
                finished += 1
                task.advance(1, detail=best_so_far(study))
        return self._record(study)

    def _try(self, study: optuna.Study, trial: Trial) -> None:
        try:
            values = self._suggest(study, trial)
            settings = self.settings.with_changes(values)
            accuracies = [
                self._execute(trial, execution, settings).value
                for execution in range(self.settings.tune.executions_per_trial)
            ]
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except (TrainingError, ImageShapeError, SettingsError, MemoryError) as error:
            trial.set_user_attr(_REASON, str(error) or type(error).__name__)
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, float(np.mean(accuracies)))

    def _suggest(self, study: optuna.Study, trial: Trial) -> dict[str, ParameterValue]:
        base = self.settings.flat()
        values: dict[str, ParameterValue] = {}
        for dimension in self.space:
            if is_active(dimension, values, base):
                values[dimension.name] = suggest(
                    study, trial, dimension, self.settings.tune, self.settings.seed
                )
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
                "budget_seconds": None,
                "batch_size": tune.batch_size,
                "weights": "last",
            }
        )
        plan = NetworkPlan.parse(
            settings.model.name,
            settings.model.settings,
            image_shape=self.image_shape,
            class_count=self.class_count,
        )
        title = f"Trial {trial.number + 1}/{tune.trials}"
        if tune.executions_per_trial > 1:
            title += f", execution {execution + 1}/{tune.executions_per_trial}"
        checkpoint = Checkpoint(self._path(trial.number, execution, "safetensors"))
        result = fit_network(
            plan,
            self.train,
            training,
            validation=self.validation,
            mirror_keeps_class=self.mirror_keeps_class,
            seed=derive_seed(self.settings.seed, "trial", trial.number, "execution", execution),
            device=self.device,
            checkpoint=checkpoint,
            progress=self.progress,
            title=title,
            on_epoch=EpochPruner(trial) if execution == 0 and tune.pruner != "none" else None,
        ).result
        record = ExecutionRecord(
            value=max(epoch.validation_accuracy or 0.0 for epoch in result.history),
            epochs=len(result.history),
            seconds=result.seconds,
        )
        record.write(path)
        checkpoint.path.unlink(missing_ok=True)
        return record

    def _path(self, number: int, execution: int, suffix: str) -> Path:
        return self.work / f"trial_{number}_execution_{execution}.{suffix}"

    def _record(self, study: optuna.Study) -> TuneRecord:
        tune = self.settings.tune
        trials = tuple(self._trial_record(trial) for trial in study.trials)
        complete = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
        if not complete:
            reasons = sorted({trial.reason or "pruned" for trial in trials})
            raise TrainingError(
                f"None of the {len(trials)} trials of the search succeeded: {'; '.join(reasons)}. "
                "Change what is searched (tune.space) or the settings that are not."
            )
        best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
        return TuneRecord(
            sampler=tune.sampler,
            pruner=tune.pruner,
            executions_per_trial=tune.executions_per_trial,
            epochs_per_execution=tune.epochs,
            batch_size=tune.batch_size,
            train_count=len(self.train),
            validation_count=len(self.validation),
            space=self.space,
            trials=trials,
            best_number=best.number,
            best_value=float(best.value or 0.0),
            best_parameters=best.params,
            importances=importances(study, complete, self.settings.seed),
            seconds=sum(trial.seconds for trial in trials),
        )

    def _trial_record(self, trial: FrozenTrial) -> TrialRecord:
        executions = [
            ExecutionRecord.read(path)
            for execution in range(self.settings.tune.executions_per_trial)
            if (path := self._path(trial.number, execution, "json")).is_file()
        ]
        epochs = sum(execution.epochs for execution in executions)
        seconds = sum(execution.seconds for execution in executions)
        reason = trial.user_attrs.get(_REASON)
        if trial.state is TrialState.PRUNED:
            epochs = len(trial.intermediate_values)
            seconds = trial.duration.total_seconds() if trial.duration else 0.0
            reason = f"below the median of the earlier trials after epoch {epochs}"
        return TrialRecord(
            number=trial.number,
            state=_STATES[trial.state],
            parameters=trial.params,
            execution_values=tuple(execution.value for execution in executions),
            value=trial.value if trial.state is TrialState.COMPLETE else None,
            epochs=epochs,
            seconds=seconds,
            reason=reason,
        )
