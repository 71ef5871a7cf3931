"""A search: its trials one after the other, or in several processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState

from tenfold.core.errors import TrainingError
from tenfold.core.progress import Task
from tenfold.core.records.tuning import TuneRecord
from tenfold.core.worker_pool import WorkerPool
from tenfold.searching.optuna_study import (
    best_so_far,
    mend_journal,
    next_trial,
    open_study,
    quiet_optuna,
)
from tenfold.searching.search_record import search_record
from tenfold.searching.time_limit import TimeLimit
from tenfold.searching.trials import REASON, SearchRequest, TrialRunner, trial_worker


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
        self._move(0 if self._is_of_time else 1)

    def look(self) -> None:
        """Note and show the time."""
        self._limit.note()
        if self._is_of_time:
            self._move(0)

    def _move(self, units: int) -> None:
        if self._is_of_time:
            spent = self._limit.spent()
            self._task.advance(spent - self._shown, detail=best_so_far(self._study))
            self._shown = spent
        else:
            self._task.advance(units, detail=best_so_far(self._study))


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
                        self._run_here(study, limit, bar)
                    else:
                        self._run_in_processes(study, limit, bar)
            finally:
                limit.note(is_due=True)
            return search_record(study, self.runner, jobs=self.jobs)

    @property
    def _limit(self) -> TimeLimit:
        assert self.runner.limit is not None
        return self.runner.limit

    def _run_here(self, study: optuna.Study, limit: TimeLimit, bar: _Bar) -> None:
        while self._may_begin(study, limit):
            self.runner.run(study, next_trial(study))
            limit.note()
            bar.end_trial()

    def _may_begin(self, study: optuna.Study, limit: TimeLimit) -> bool:
        """Say whether a trial is to be begun, or to be ended that was begun before a kill."""
        trials = study.trials
        if any(not trial.state.is_finished() for trial in trials):
            return True
        return self._has_room(len(trials), limit)

    def _has_room(self, begun: int, limit: TimeLimit) -> bool:
        most = self.runner.settings.tune.trials
        return (most is None or begun < most) and (begun == 0 or not limit.is_over())

    def _run_in_processes(self, study: optuna.Study, limit: TimeLimit, bar: _Bar) -> None:
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
            return study.ask().number if self._has_room(len(study.trials), limit) else None

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
