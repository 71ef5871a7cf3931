"""Train and test a study again with other seeds: how much does luck of the seed move its scores?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import EvaluateRecord, RepeatedRun, RepeatsRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.run_folder import REPEATS, REPEATS_RECORD, RunFolder
from tenfold.evaluation.differences import Spread
from tenfold.evaluation.scores import is_imbalanced
from tenfold.stage_running import StageOutcome, StageRunner
from tenfold.stages.stage import RECORD, STAGES
from tenfold.training.device import Device

REPEATED_STAGES = ("train", "evaluate")
"""What a further run does itself; data and searched settings are the study's."""

_SCORES = ("accuracy", "balanced_accuracy", "macro_f1")


def read_repeats(run_folder: Path) -> RepeatsRecord:
    """Read what the repeats of a study found.

    Raises
    ------
    RunFolderError
        If there are none.
    """
    return RepeatsRecord.read(run_folder / REPEATS_RECORD)


@dataclass(frozen=True)
class Repeats:
    """The further runs of a study, in ``repeats/run-2`` and so on.

    Each is a train and an evaluate stage like the study's own, with a manifest each: it is skipped
    when it is complete, and goes on from its checkpoint after a kill. Run n has the study's seed
    plus n - 1.

    Parameters
    ----------
    runner
        The study's, whose train and evaluate stages are the first run.
    """

    runner: StageRunner

    def run(self, count: int, device: Device) -> Iterator[StageOutcome]:
        """Do what is missing of `count` runs and write the record.

        Yields
        ------
        StageOutcome
            Two a further run.
        """
        assert count >= 2, "one run has no spread"
        runners = [self.runner, *(self._further(run) for run in range(2, count + 1))]
        for run, runner in enumerate(runners[1:], start=2):
            for name in REPEATED_STAGES:
                outcome = runner.run(STAGES[name], device)
                yield replace(outcome, name=f"run {run}, {name}")
        self._record(runners).write(self.runner.run_folder.path / REPEATS_RECORD)

    def _further(self, run: int) -> StageRunner:
        settings = self.runner.settings.with_changes(
            {"seed": self.runner.settings.seed + run - 1, "evaluate.robustness_images": 0}
        )
        return replace(
            self.runner,
            settings=settings,
            run_folder=RunFolder(self.runner.run_folder.path / REPEATS / f"run-{run}"),
            ground=self.runner.run_folder,
            own_stages=REPEATED_STAGES,
        )

    def _record(self, runners: list[StageRunner]) -> RepeatsRecord:
        acquired = AcquireRecord.read(self.runner.stage_folder("acquire").path / RECORD)
        runs = tuple(_scores(run, runner) for run, runner in enumerate(runners, start=1))
        spreads = {name: Spread.of([getattr(run, name) for run in runs]) for name in _SCORES}
        return RepeatsRecord(
            test_count=sum(acquired.test_counts),
            is_imbalanced=is_imbalanced(acquired),
            has_time_budget=self.runner.settings.training.budget_seconds is not None,
            runs=runs,
            means={name: spread.mean for name, spread in spreads.items()},
            intervals={name: spread.interval for name, spread in spreads.items()},
            standard_deviations={name: spread.deviation for name, spread in spreads.items()},
            deviation_intervals={n: spread.deviation_interval for n, spread in spreads.items()},
            least_differences={name: spread.least_difference for name, spread in spreads.items()},
            evaluate_digest=self.runner.stage_folder("evaluate").digest(),
        )


def _scores(run: int, runner: StageRunner) -> RepeatedRun:
    scores = EvaluateRecord.read(runner.stage_folder("evaluate").path / RECORD).scores
    train = TrainRecord.read(runner.stage_folder("train").path / RECORD)
    return RepeatedRun(
        run=run,
        seed=runner.settings.seed,
        accuracy=scores.accuracy,
        balanced_accuracy=scores.balanced_accuracy,
        macro_f1=scores.macro_f1,
        training_seconds=train.seconds,
    )
