"""The further runs of a study, each with another seed, wherever they are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import EvaluateRecord, RepeatedRun, RepeatsRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.run_folder import FEATURES, REPEATS, REPEATS_RECORD, RunFolder
from tenfold.evaluation.differences import Spread
from tenfold.evaluation.scores import is_imbalanced
from tenfold.study.recipe import StudySettings
from tenfold.study.runner import REPEATED_STAGES, StageOutcome, StageRunner
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.packing import Values, pack, unpack
from tenfold.study.scaling.sharing import SharedPlace
from tenfold.study.scaling.work import Common, Desk, DoTask, Task, Work, run_tasks
from tenfold.study.stages.stage import RECORD, STAGES
from tenfold.training.device import Device


@dataclass(frozen=True)
class Repeats:
    """The further runs of a study, in ``repeats/run-2`` and so on.

    Each is a train and an evaluate stage like the study's own, with a manifest each: it is skipped
    when it is complete, and goes on from its checkpoint after a kill. Run n has the study's seed
    plus n - 1. A run is a task; where several workers share each training, one comes after another.

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
        runners = {run: _further(self.runner, run) for run in range(2, count + 1)}
        seconds = {} if self._shares_trainings else self._run_tasks(runners, device)
        for run, runner in runners.items():
            for name in REPEATED_STAGES:
                outcome = runner.run(STAGES[name], device)
                if (taken := seconds.get((run, name))) is not None and not outcome.was_run:
                    outcome = replace(outcome, was_run=True, seconds=taken)
                yield replace(outcome, name=f"run {run}, {name}")
        self._record([self.runner, *runners.values()]).write(
            self.runner.run_folder.path / REPEATS_RECORD
        )

    @property
    def _shares_trainings(self) -> bool:
        return isinstance(self.runner.place, SharedPlace)

    def _run_tasks(
        self, runners: dict[int, StageRunner], device: Device
    ) -> dict[tuple[int, str], float]:
        """Do the runs that are not complete; give the seconds of each stage that was made."""
        missing = [
            run
            for run, runner in runners.items()
            if not all(runner.is_current(STAGES[name]) for name in REPEATED_STAGES)
        ]
        own, path = self.runner, self.runner.run_folder.path
        settings = own.settings
        read = {name for stage in REPEATED_STAGES for name in STAGES[stage].needs(settings)}
        names = sorted(read - set(REPEATED_STAGES))
        folders = {name: own.stage_folder(name).path for name in names}
        if (path / FEATURES).is_dir():
            folders[FEATURES] = path / FEATURES
        work = Work(
            repeat_worker,
            path / REPEATS,
            values={"settings": settings.flat(), "startup_seconds": own.startup_seconds},
            folders=folders,
            device=device,
            seconds_between_files=settings.training.checkpoint_seconds,
        )
        tasks = [Task(f"run {run}", {"run": run}, files=f"run-{run}/**/*") for run in missing]
        seconds: dict[tuple[int, str], float] = {}

        def on_done(task: Task, result: bytes) -> None:
            run = task.inputs["run"]
            seconds.update({(run, name): taken for name, taken in unpack(result).items()})
            bar.advance()

        with own.progress.task(
            "Further runs", len(runners), done=len(runners) - len(tasks), unit="runs"
        ) as bar:
            run_tasks(
                own.place,
                work,
                tasks,
                on_done,
                on_look=lambda state: bar.advance(0, detail=state),
                progress=own.progress,
            )
        for run in missing:
            _remove_empty(path / REPEATS / f"run-{run}")
        return seconds

    def _record(self, runners: list[StageRunner]) -> RepeatsRecord:
        acquired = AcquireRecord.read(self.runner.stage_folder("acquire").path / RECORD)
        runs = tuple(_scores(run, runner) for run, runner in enumerate(runners, start=1))
        names = ("accuracy", "balanced_accuracy", "macro_f1")
        spreads = {name: Spread.of([getattr(run, name) for run in runs]) for name in names}
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


def _further(runner: StageRunner, run: int) -> StageRunner:
    """Give what does a further run on the ground of the study's own."""
    settings = runner.settings.with_changes(
        {"seed": runner.settings.seed + run - 1, "evaluate.robustness_images": 0}
    )
    return replace(
        runner,
        settings=settings,
        run_folder=RunFolder(runner.run_folder.path / REPEATS / f"run-{run}"),
        ground=runner.run_folder,
        own_stages=REPEATED_STAGES,
    )


def repeat_worker(common: Common) -> DoTask:
    """Get ready for further runs; a `WorkerFunction`."""
    settings = StudySettings.resolve(common.values["settings"])

    def do(inputs: Values, desk: Desk) -> bytes:
        # All folders of a work lie side by side, by their names.
        ground = RunFolder(common.folders["acquire"].parent)
        study = StageRunner(
            settings,
            ground,
            desk.progress,
            place=Here(),
            is_beside_others=True,
            startup_seconds=common.values["startup_seconds"],
        )
        run = inputs["run"]
        runner = replace(_further(study, run), run_folder=RunFolder(desk.folder / f"run-{run}"))
        outcomes = [runner.run(STAGES[name], common.device) for name in REPEATED_STAGES]
        return pack({one.name: one.seconds for one in outcomes if one.was_run})

    return do


def _remove_empty(folder: Path) -> None:
    """Remove folders without files: those of stages that were made elsewhere and renamed there."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def read_repeats(run_folder: Path) -> RepeatsRecord:
    """Read what the repeats of a study found.

    Raises
    ------
    RunFolderError
        If there are none.
    """
    return RepeatsRecord.read(run_folder / REPEATS_RECORD)


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
