"""A search: its trials one after the other, or in several processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState

from tenfold.core.progress import Task
from tenfold.core.records.tune import TuneRecord
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
from tenfold.searching.trials import REASON, TrialRunner
from tenfold.searching.worker import SearchRequest


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
            total = self.runner.settings.tune.trials or float("nan")
            try:
                with self.runner.progress.task(
                    "Search", total, done=finished, unit="trials"
                ) as task:
                    if self.jobs == 1:
                        self._run_here(study, limit, task)
                    else:
                        self._run_in_processes(study, limit, task)
            finally:
                limit.note(is_due=True)
            return search_record(study, self.runner, jobs=self.jobs)

    @property
    def _limit(self) -> TimeLimit:
        assert self.runner.limit is not None
        return self.runner.limit

    def _run_here(self, study: optuna.Study, limit: TimeLimit, task: Task) -> None:
        while self._may_begin(study, limit):
            self.runner.run(study, next_trial(study))
            limit.note()
            task.advance(1, detail=best_so_far(study))

    def _may_begin(self, study: optuna.Study, limit: TimeLimit) -> bool:
        """Say whether a trial is to be begun, or to be ended that was begun before a kill."""
        trials = study.trials
        if any(not trial.state.is_finished() for trial in trials):
            return True
        return self._has_room(len(trials), limit)

    def _has_room(self, begun: int, limit: TimeLimit) -> bool:
        most = self.runner.settings.tune.trials
        return (most is None or begun < most) and (begun == 0 or not limit.is_over())

    def _run_in_processes(self, study: optuna.Study, limit: TimeLimit, task: Task) -> None:
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

        def give_up(number: int, reason: str) -> None:
            trial = study.trials[number]
            if not trial.state.is_finished():
                study._storage.set_trial_user_attr(trial._trial_id, REASON, reason)
                study.tell(number, state=TrialState.FAIL)
            task.advance(1, detail=best_so_far(study))

        WorkerPool(
            "tenfold.searching.worker", request, self.jobs, threads, work / "workers.log"
        ).run(
            next_number,
            on_done=lambda _: task.advance(1, detail=best_so_far(study)),
            on_lost=give_up,
            on_look=limit.note,
        )
