"""A search from its settings to its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tenfold.core.errors import TrainingError
from tenfold.core.progress import Task
from tenfold.core.records.tuning import ParameterValue, TrialRecord, TuneRecord
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.processes import WorkerPool
from tenfold.study.search.optuna_study import (
    best_so_far,
    importances,
    mend_journal,
    next_trial,
    open_study,
    quiet_optuna,
)
from tenfold.study.search.space import MODEL_NAME
from tenfold.study.search.trials import REASON, SearchRequest, TimeLimit, TrialRunner, trial_worker

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_PRUNING_REASONS = {
    "median": "below the median of the earlier trials",
    "halving": "not among the best of those that came so far",
    "hyperband": "not among the best of its bracket that came so far",
}


@dataclass(frozen=True)
class Search:
    """All trials of a study.

    Parameters
    ----------
    runner
        Runs one trial.
    acquire
        Folder of the acquire stage, for the worker processes.
    jobs
        Processes; with 1 the trials run in this one, and the seed alone decides the result.
    """

    runner: TrialRunner
    acquire: Path
    jobs: int = 1

    def run(self) -> TuneRecord:
        """Do the trials that are missing; give all of them.

        Raises
        ------
        TrainingError
            If no trial succeeded.
        """
        journal = self.runner.work / "journal.log"
        limit = self._limit
        with quiet_optuna():
            mend_journal(journal)
            study = open_study(journal, self.runner.settings.tune)
            finished = sum(trial.state.is_finished() for trial in study.trials)
            most = self.runner.settings.tune.trials
            total, done, unit = (
                (limit.seconds or 0.0, limit.spent(), "s")
                if most is None
                else (float(most), float(finished), "trials")
            )
            try:
                with self.runner.progress.task("Search", total, done=done, unit=unit) as task:
                    bar = _Bar(task, study, limit, is_of_time=most is None)
                    if self.jobs == 1:
                        self._run_here(study, bar)
                    else:
                        self._run_in_processes(study, bar)
            finally:
                limit.note(is_due=True)
            return search_record(study, self.runner, jobs=self.jobs)

    @property
    def _limit(self) -> TimeLimit:
        assert self.runner.limit is not None
        return self.runner.limit

    def _run_here(self, study: optuna.Study, bar: _Bar) -> None:
        while self._may_begin(study):
            self.runner.run(study, next_trial(study))
            self._limit.note()
            bar.end_trial()

    def _may_begin(self, study: optuna.Study) -> bool:
        """Say whether a trial is to be begun, or to be ended that was begun before a kill."""
        trials = study.trials
        if any(not trial.state.is_finished() for trial in trials):
            return True
        return self._has_room(len(trials))

    def _has_room(self, begun: int) -> bool:
        most = self.runner.settings.tune.trials
        return (most is None or begun < most) and (begun == 0 or not self._limit.is_over())

    def _run_in_processes(self, study: optuna.Study, bar: _Bar) -> None:
        work = self.runner.work
        request = work / "request.json"
        threads = max(1, self.runner.device.threads // self.jobs)
        SearchRequest(
            settings=self.runner.settings.flat(),
            acquire=self.acquire,
            work=work,
            device=self.runner.device.kind,
            threads=threads,
        ).write(request)
        # Trials that a kill left running are ended first.
        left = [t.number for t in study.trials if t.state is TrialState.RUNNING]

        def next_number() -> int | None:
            if left:
                return left.pop(0)
            return study.ask().number if self._has_room(len(study.trials)) else None

        ended: list[int] = []

        def end_trial(number: int) -> None:
            ended.append(number)
            bar.end_trial()

        def give_up(number: int, reason: str) -> None:
            if not ended:  # it is hardly the trial: it stays as it is, for the next attempt
                raise TrainingError(f"Trial {number} could not be run: {reason}")
            trial = study.trials[number]
            if not trial.state.is_finished():
                study._storage.set_trial_user_attr(trial._trial_id, REASON, reason)
                study.tell(number, state=TrialState.FAIL)
            end_trial(number)

        WorkerPool(trial_worker, request, self.jobs, threads, work / "workers.log").run(
            next_number,
            on_done=end_trial,
            on_lost=give_up,
            on_look=bar.look,
        )


class _Bar:
    """The search's progress: in trials, or in time where their number is open."""

    def __init__(
        self, task: Task, study: optuna.Study, limit: TimeLimit, *, is_of_time: bool
    ) -> None:
        self._task, self._study, self._limit = task, study, limit
        self._is_of_time = is_of_time
        self._shown = limit.spent()

    def end_trial(self) -> None:
        """Show that a trial ended."""
        if self._is_of_time:
            self._show_time()
        else:
            self._task.advance(1, detail=best_so_far(self._study))

    def look(self) -> None:
        """Note and show the time."""
        self._limit.note()
        if self._is_of_time:
            self._show_time()

    def _show_time(self) -> None:
        spent = self._limit.spent()
        self._task.advance(spent - self._shown, detail=best_so_far(self._study))
        self._shown = spent


def search_record(study: optuna.Study, runner: TrialRunner, *, jobs: int) -> TuneRecord:
    """Give all trials, the best, and which settings mattered.

    Raises
    ------
    TrainingError
        If no trial succeeded.
    """
    settings = runner.settings
    tune = settings.tune
    trials = tuple(_trial_record(trial, runner) for trial in study.trials)
    complete = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    if not complete:
        reasons = sorted({trial.reason or "pruned" for trial in trials})
        raise TrainingError(
            f"None of the {len(trials)} trials of the search succeeded: {'; '.join(reasons)}. "
            "Change what is searched (tune.space) or the settings that are not."
        )
    best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
    best_parameters = _parameters(best, runner)
    model = best.params.get(MODEL_NAME)
    alike = [trial for trial in complete if trial.params.get(MODEL_NAME) == model]
    has_models = len(set(tune.models)) > 1
    return TuneRecord(
        sampler=tune.sampler,
        pruner=tune.pruner,
        executions_per_trial=tune.executions_per_trial,
        epochs_per_execution=tune.epochs,
        batch_size=tune.batch_size,
        train_count=len(runner.images.train),
        validation_count=len(runner.images.validation),
        space=runner.space,
        trials=trials,
        best_number=best.number,
        best_value=float(best.value or 0.0),
        best_parameters=best_parameters,
        importances=_by_name(importances(complete, settings.seed)),
        seconds=sum(trial.seconds for trial in trials),
        models=tune.models,
        model_importances=_by_name(importances(alike, settings.seed)) if has_models else None,
        best_assignments=assignments(settings, best_parameters),
        budget_seconds=tune.budget_seconds,
        jobs=jobs,
    )


def assignments(settings: StudySettings, parameters: dict[str, ParameterValue]) -> dict[str, Any]:
    """Give what turns a study's settings into those of a trial: whole values by dotted name.

    A searched place of a list (``model.widths.1``) stands as the whole list, and settings of the
    training that follow from the model stand too.
    """
    trial = settings.with_changes(parameters).flat()
    before = settings.flat()["training"]
    names = dict.fromkeys(".".join(name.split(".")[:2]) for name in parameters)
    names |= {
        f"training.{name}": None
        for name, value in trial["training"].items()
        if before[name] != value
    }
    return {name: trial[(path := name.split("."))[0]][path[1]] for name in names}


def _by_name(shares: dict[str, float] | None) -> dict[str, float] | None:
    """Give settings by their own names: a model's dimensions carry its name in the journal."""
    if shares is None:
        return None
    return {key.rpartition(":")[2]: share for key, share in shares.items()}


def _parameters(trial: FrozenTrial, runner: TrialRunner) -> dict[str, ParameterValue]:
    drawn = trial.params
    return {one.name: drawn[one.key] for one in runner.space if one.key in drawn}


def _trial_record(trial: FrozenTrial, runner: TrialRunner) -> TrialRecord:
    executions = runner.executions(trial.number)
    epochs = sum(execution.epochs for execution in executions)
    seconds = sum(execution.seconds for execution in executions)
    reason, last_value = trial.user_attrs.get(REASON), None
    if trial.state is TrialState.PRUNED:
        epochs = len(trial.intermediate_values)
        seconds = trial.duration.total_seconds() if trial.duration else 0.0
        why = _PRUNING_REASONS.get(runner.settings.tune.pruner, "stopped")
        reason = f"{why} after epoch {epochs}"
        last_value = trial.intermediate_values.get(trial.last_step or 0)
    return TrialRecord(
        number=trial.number,
        state=_STATES[trial.state],
        parameters=_parameters(trial, runner),
        execution_values=tuple(execution.value for execution in executions),
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        epochs=epochs,
        seconds=seconds,
        reason=reason,
        last_value=last_value,
    )
