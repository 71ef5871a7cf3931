"""A search from its settings to its record."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tenfold.core.errors import ImageShapeError, SettingsError, TrainingError
from tenfold.core.progress import Progress
from tenfold.core.progress import Task as Bar
from tenfold.core.records.training import EpochRecord
from tenfold.core.records.tuning import ParameterValue, SearchDimension, TrialRecord, TuneRecord
from tenfold.study.image_tasks import NetworkWork
from tenfold.study.kept_features import FEATURE_SETTINGS, feature_folders, keep_features
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.packing import Values
from tenfold.study.scaling.work import Driver, Place, Task, Work
from tenfold.study.search.optuna_study import (
    EpochPruner,
    best_so_far,
    find_trial,
    importances,
    mend_journal,
    open_study,
    quiet_optuna,
    suggest,
)
from tenfold.study.search.space import MODEL_NAME, SearchedImages, is_active, search_space
from tenfold.study.search.trials import (
    ExecutionRecord,
    TimeLimit,
    TrialResult,
    execution_path,
    trial_files,
    trial_title,
    trial_worker,
)
from tenfold.training.device import Device

REASON = "reason"
"""Under which the journal keeps why a trial failed."""
_UNLIMITED = 1_000_000
"""Trials, where time alone limits them."""
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

    This process alone draws the trials' values, writes the journal and decides which trials end
    early; the trials themselves run wherever `place` is.

    Parameters
    ----------
    settings
        The study's; a trial changes what `space` names.
    acquire
        Folder of the acquire stage.
    images
        To train on and to score by.
    device
        Where to compute.
    work
        Folder of the journal, of finished executions and of the running ones' checkpoints.
    progress
        Who is told.
    limit
        The search's time.
    place
        Where trials run; if that is one at a time, the seed alone decides the result.
    """

    settings: StudySettings
    acquire: Path
    images: SearchedImages
    device: Device
    work: Path
    progress: Progress
    limit: TimeLimit
    place: Place = field(default_factory=Here)

    @cached_property
    def space(self) -> tuple[SearchDimension, ...]:
        """Give what is searched."""
        return search_space(self.settings)

    def run(self) -> TuneRecord:
        """Do the trials that are missing; give all of them.

        Raises
        ------
        TrainingError
            If no trial succeeded.
        """
        journal = self.work / "journal.log"
        limit, most = self.limit, self.settings.tune.trials
        with quiet_optuna():
            mend_journal(journal)
            study = open_study(journal, self.settings.tune)
            finished = sum(trial.state.is_finished() for trial in study.trials)
            total, done, unit = (
                (limit.seconds or 0.0, limit.spent(), "s")
                if most is None
                else (float(most), float(finished), "trials")
            )
            try:
                with self.progress.task("Search", total, done=done, unit=unit) as task:
                    bar = _Bar(task, study, limit, is_of_time=most is None)
                    _Trials(self, study, bar).run()
            finally:
                limit.note(is_due=True)
            return search_record(study, self)

    def keep_features(self) -> None:
        """Compute what all trials read of a frozen backbone, if no trial draws another one."""
        if FEATURE_SETTINGS & {dimension.name for dimension in self.space}:
            return
        acquired = self.images.acquired
        keep_features(
            self.settings.network_plan(acquired.image_shape, len(acquired.classes)),
            self.images.train.images,
            self.images.validation.images,
            mirror_keeps_class=acquired.mirror_keeps_class,
            work=NetworkWork(
                self.place,
                self.acquire,
                "acquire",
                self.device,
                self.settings.training.precision,
                self.progress,
            ),
        )

    def executions(self, number: int) -> list[ExecutionRecord]:
        """Give a trial's finished executions."""
        return [
            ExecutionRecord.read(path)
            for execution in range(self.settings.tune.executions_per_trial)
            if (path := execution_path(self.work, number, execution)).is_file()
        ]


class _Trials:
    """The trials of a search that are missing, as a place's driver hands them out.

    Parameters
    ----------
    search
        Which.
    study
        Its journal.
    bar
        Shows what is done.
    """

    def __init__(self, search: Search, study: optuna.Study, bar: _Bar) -> None:
        self.search, self.study, self.bar = search, study, bar
        # Trials that a kill left running are ended first.
        self._left = [t.number for t in study.trials if t.state is TrialState.RUNNING]
        self._begun = len(study.trials)
        self._running: dict[str, Trial] = {}
        self._pruners: dict[str, EpochPruner] = {}
        self._has_ended = False

    def run(self) -> None:
        """Do them."""
        search = self.search
        if self._count_left():
            search.keep_features()
        work = Work(
            trial_worker,
            search.work,
            values={"settings": search.settings.flat()},
            folders={"acquire": search.acquire} | feature_folders(),
            device=search.device,
            seconds_between_files=search.settings.training.checkpoint_seconds,
        )
        driver = Driver(
            next_task=self._next,
            left=self._count_left,
            on_done=self._end,
            on_lost=self._give_up,
            on_ask=self._ask,
            on_look=self.bar.look,
            progress=search.progress,
        )
        search.place.run(work, driver)

    def _count_left(self) -> int:
        most = self.search.settings.tune.trials
        if not self._has_room():
            return len(self._left)
        return len(self._left) + (_UNLIMITED if most is None else most - self._begun)

    def _has_room(self) -> bool:
        most = self.search.settings.tune.trials
        is_over = self._begun > 0 and self.search.limit.is_over()
        return (most is None or self._begun < most) and not is_over

    def _next(self) -> Task | None:
        """Give the next trial; one whose values fit no model ends at once."""
        while self._left or self._has_room():
            if self._left:
                trial = find_trial(self.study, self._left.pop(0))
            else:
                self._begun += 1
                trial = self.study.ask()
            if trial is None:
                continue
            try:
                settings = self.search.settings.with_changes(self._values(trial))
            except (TrainingError, ImageShapeError, SettingsError) as error:
                self._fail(trial.number, str(error))
                continue
            return self._task(trial, settings)
        return None

    def _task(self, trial: Trial, settings: StudySettings) -> Task:
        tune, number = self.search.settings.tune, trial.number
        name = trial_title(number, tune)
        self._running[name] = trial
        if tune.pruner != "none":
            self._pruners[name] = EpochPruner(trial)
        return Task(
            name, {"number": number, "settings": settings.flat()}, files=trial_files(number)
        )

    def _values(self, trial: Trial) -> dict[str, ParameterValue]:
        base = self.search.settings
        flat, model = base.flat(), base.model.name
        values: dict[str, ParameterValue] = {}
        for dimension in self.search.space:
            if (drawn := values.get("model.name", model)) != model:
                # Conditions on settings that are not searched are about the drawn model's.
                model = str(drawn)
                flat = base.with_changes({"model.name": model}).flat()
            if is_active(dimension, values, flat):
                values[dimension.name] = suggest(self.study, trial, dimension, base.tune, base.seed)
        return values

    def _ask(self, task: Task, question: Values) -> dict[str, bool]:
        """Take an epoch, and say whether the trial ends with it."""
        self.search.limit.note()
        pruner = self._pruners.get(task.name)
        if pruner is None or question["execution"] != 0:
            return {"is_pruned": False}
        return {"is_pruned": pruner(EpochRecord.model_validate(question["epoch"]))}

    def _end(self, task: Task, content: bytes) -> None:
        result = TrialResult.model_validate_json(content)
        trial = self._running.pop(task.name)
        if result.is_pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        elif result.reason is not None:
            trial.set_user_attr(REASON, result.reason)
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, result.value)
        self._ended()

    def _give_up(self, task: Task, reason: str) -> None:
        number = self._running.pop(task.name).number
        if not self._has_ended:  # it is hardly the trial: it stays as it is, for the next attempt
            raise TrainingError(f"Trial {number} could not be run: {reason}")
        self._fail(number, reason)

    def _fail(self, number: int, reason: str) -> None:
        trial = find_trial(self.study, number)
        if trial is not None:
            trial.set_user_attr(REASON, reason)
            self.study.tell(trial, state=TrialState.FAIL)
        self._ended()

    def _ended(self) -> None:
        self._has_ended = True
        self.search.limit.note()
        self.bar.end_trial()


class _Bar:
    """The search's progress: in trials, or in time where their number is open."""

    def __init__(
        self, task: Bar, study: optuna.Study, limit: TimeLimit, *, is_of_time: bool
    ) -> None:
        self._task, self._study, self._limit = task, study, limit
        self._is_of_time = is_of_time
        self._shown = limit.spent()

    def end_trial(self) -> None:
        """Show that a trial ended."""
        if self._is_of_time:
            self._show_time()
        else:
            self._task.advance(1, detail=self._detail())

    def look(self, state: str) -> None:
        """Note the time, and show it and what is running."""
        self._limit.note()
        if self._is_of_time:
            self._show_time(state)
        else:
            self._task.advance(0, detail=self._detail(state))

    def _show_time(self, state: str = "") -> None:
        spent = self._limit.spent()
        self._task.advance(spent - self._shown, detail=self._detail(state))
        self._shown = spent

    def _detail(self, state: str = "") -> str:
        return best_so_far(self._study) + (f", {state}" if state else "")


def search_record(study: optuna.Study, search: Search) -> TuneRecord:
    """Give all trials, the best, and which settings mattered.

    Raises
    ------
    TrainingError
        If no trial succeeded.
    """
    settings = search.settings
    tune = settings.tune
    trials = tuple(_trial_record(trial, search) for trial in study.trials)
    complete = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    if not complete:
        reasons = sorted({trial.reason or "pruned" for trial in trials})
        raise TrainingError(
            f"None of the {len(trials)} trials of the search succeeded: {'; '.join(reasons)}. "
            "Change what is searched (tune.space) or the settings that are not."
        )
    best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
    best_parameters = _parameters(best, search)
    model = best.params.get(MODEL_NAME)
    alike = [trial for trial in complete if trial.params.get(MODEL_NAME) == model]
    has_models = len(set(tune.models)) > 1
    return TuneRecord(
        sampler=tune.sampler,
        pruner=tune.pruner,
        executions_per_trial=tune.executions_per_trial,
        epochs_per_execution=tune.epochs,
        batch_size=tune.batch_size,
        train_count=len(search.images.train),
        validation_count=len(search.images.validation),
        space=search.space,
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
        jobs=search.place.jobs,
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


def _parameters(trial: FrozenTrial, search: Search) -> dict[str, ParameterValue]:
    drawn = trial.params
    return {one.name: drawn[one.key] for one in search.space if one.key in drawn}


def _trial_record(trial: FrozenTrial, search: Search) -> TrialRecord:
    executions = search.executions(trial.number)
    epochs = sum(execution.epochs for execution in executions)
    seconds = sum(execution.seconds for execution in executions)
    reason, last_value = trial.user_attrs.get(REASON), None
    if trial.state is TrialState.PRUNED:
        epochs = len(trial.intermediate_values)
        seconds = trial.duration.total_seconds() if trial.duration else 0.0
        why = _PRUNING_REASONS.get(search.settings.tune.pruner, "stopped")
        reason = f"{why} after epoch {epochs}"
        last_value = trial.intermediate_values.get(trial.last_step or 0)
    return TrialRecord(
        number=trial.number,
        state=_STATES[trial.state],
        parameters=_parameters(trial, search),
        execution_values=tuple(execution.value for execution in executions),
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        epochs=epochs,
        seconds=seconds,
        reason=reason,
        last_value=last_value,
    )
