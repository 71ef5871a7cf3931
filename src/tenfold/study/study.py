"""A study from data to report: whether it can begin, its stages in order, its summary."""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from tenfold.core.errors import StorageError, TenfoldError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.records.choice import ChoiceRecord
from tenfold.core.records.data import AcquireRecord
from tenfold.core.run_folder import CHOICE, RunFolder
from tenfold.core.stages import stage_order, training_stages
from tenfold.core.text import format_estimate
from tenfold.data.corrections import adopt_corrections, offer_corrections
from tenfold.data.dataset import read_labels
from tenfold.data.folds import plan_folds
from tenfold.data.rebalancing import choose_rebalancing
from tenfold.evaluation.audit import cleanlab_filter
from tenfold.study.recipe import StudySettings
from tenfold.study.repeats import Repeats
from tenfold.study.runner import REPEATED_STAGES, StageOutcome, StageRunner
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.work import Place
from tenfold.study.stages.stage import STAGES
from tenfold.training.device import Device, choose_device
from tenfold.training.fit import check_fit

_WORTH_A_WORD_SECONDS = 30.0


class Study:
    """A data set, a recipe and a run folder.

    Parameters
    ----------
    settings
        Resolved settings, the data source and its location included.
    out
        The run folder.
    device
        Name of the device, see `choose_device`.
    progress
        Who is told.
    update
        Take these settings if the run folder was made by others; what they touch runs again.
    is_offline
        Whether downloads are forbidden.
    corrections
        Content of the corrections file that the settings name; None if the run folder has it
        already.
    place
        Where independent work runs; None for this process.
    choice
        Which recipe was chosen for the data, to be kept in the run folder.
    started_at
        When the command began, on `time.monotonic`'s clock: a time budget for the training counts
        from there, the work of the stages before it left out; None for when `run` is called.
    """

    def __init__(
        self,
        settings: StudySettings,
        out: Path,
        *,
        device: str = "auto",
        progress: Progress | None = None,
        update: bool = False,
        is_offline: bool = False,
        corrections: bytes | None = None,
        place: Place | None = None,
        choice: ChoiceRecord | None = None,
        started_at: float | None = None,
    ) -> None:
        self.settings = settings
        self.choice = choice
        self.started_at = started_at
        self.run_folder = RunFolder(out)
        self.device_name = device
        self.update = update
        self.corrections = corrections
        self._progress = progress or SilentProgress()
        self._runner = StageRunner(
            settings,
            self.run_folder,
            self._progress,
            is_offline,
            place=place or Here(),
            before_finish=self._adopt,
        )

    def run(self, *stages: str, runs: int = 1) -> Iterator[StageOutcome]:
        """Run the named stages and what they need; without names, the whole study.

        Parameters
        ----------
        stages
            Names.
        runs
            How often to train and test, each time with another seed; the stages themselves are the
            first run. Runs that are complete already are kept.

        Yields
        ------
        StageOutcome
            One a stage, as each is complete; with `runs`, also one a stage of each further run.

        Raises
        ------
        UnknownNameError
            If there is no such stage.
        RunFolderError
            If the run folder was made by other settings, or another process works in it.
        TenfoldError
            Whatever a stage has to say.
        """
        repeated = REPEATED_STAGES if runs > 1 and stages else ()
        wanted = self._with_needs((*stages, *repeated) or stage_order(), is_asked=bool(stages))
        device = choose_device(self.device_name)
        with self.run_folder as folder:
            folder.check_settings(self.settings.flat(), update=self.update)
            if self.choice is not None:
                self.choice.write(folder.path / CHOICE)
            offer_corrections(folder.path, self.settings.data.corrections, self.corrections)
            if self.started_at is not None:
                startup = time.monotonic() - self.started_at
                self._runner = replace(self._runner, startup_seconds=startup)
            failed: dict[str, TenfoldError] = {}
            yield from self._run_stages(wanted, device, failed, is_whole=not stages)
            if runs > 1:
                yield from Repeats(self._runner).run(runs, device)
            notices = (*self._notices(), *map(_said, failed, failed.values()))
            for notice in notices:
                self._progress.say(notice)
            if "report" in wanted:  # the page shows the repeats
                yield self._runner.run(STAGES["report"], device, notices)
            self._adopt()
            for error in failed.values():
                raise error

    def _run_stages(
        self,
        wanted: tuple[str, ...],
        device: Device,
        failed: dict[str, TenfoldError],
        *,
        is_whole: bool,
    ) -> Iterator[StageOutcome]:
        """Run all stages but the report; in a whole study, go on without a dispensable one."""
        names = [name for name in wanted if name != "report"]
        if not is_whole and self._keeps_acquired(wanted):
            names.remove("acquire")
            yield StageOutcome("acquire", False, 0.0, self._runner.stage_folder("acquire").path)
        elif self._runner.has_source_changed():
            self._progress.say(
                "The data have changed since they were read: they are read again, and what was "
                "made of them is made again."
            )

        def check_data(acquired: Path) -> None:
            for sentence in check_study(self.settings, acquired, wanted):
                self._progress.say(sentence)

        runner = replace(self._runner, check_data=check_data)
        for name in names:
            self._say_folds_time(name)
            try:
                outcome = runner.run(STAGES[name], device)
            except TenfoldError as error:
                if (
                    not is_whole
                    or not STAGES[name].is_dispensable
                    or isinstance(error, StorageError)
                ):
                    raise
                failed[name] = error
                self._progress.say(_said(name, error))
                if name == "cross-validate":  # the audit can do without, if it is told so
                    changes = {"cross_validate.is_enabled": False}
                    runner = replace(runner, settings=runner.settings.with_changes(changes))
                continue
            yield outcome
            if name == "acquire" and not outcome.was_run and self._lacks_training(wanted):
                check_data(outcome.folder)

    def _say_folds_time(self, name: str) -> None:
        """Say how long the folds will take, where the training has shown how long one takes."""
        train = self._runner.stage_folder("train").manifest()
        current = self._runner.current_stages()
        if name != "cross-validate" or name in current or train is None or "train" not in current:
            return
        settings = self.settings.cross_validate
        seconds = settings.budget_seconds or train.seconds * (settings.folds - 1)
        if seconds >= _WORTH_A_WORD_SECONDS:
            self._progress.say(
                f"{name}: {settings.folds} folds, about {format_estimate(seconds)} in all, as the "
                f"training took {format_estimate(train.seconds)}"
            )

    def _adopt(self) -> None:
        """Make the study's settings those of the run folder."""
        self.run_folder.adopt_settings(self.settings.flat(), update=self.update)
        adopt_corrections(self.run_folder.path, self.settings.data.corrections)

    def _keeps_acquired(self, wanted: tuple[str, ...]) -> bool:
        """Say whether to read no data again, as complete stages that were not asked for need them.

        Otherwise a report would show new data beside the model and the scores of the old.
        """
        current = self._runner.current_stages()
        others = current - set(wanted)
        return "acquire" in current and bool(others) and self._runner.is_intact("acquire")

    def _lacks_training(self, wanted: tuple[str, ...]) -> bool:
        current = self._runner.current_stages()
        return any(name in wanted and name not in current for name in training_stages())

    def _notices(self) -> tuple[str, ...]:
        """Say what in the run folder is not of the present data and settings, and what to run."""
        whole = self._with_needs(stage_order(), is_asked=False)
        out = shlex.quote(str(self.run_folder.path))
        update = f"tenfold run --out {out}"
        notices = []
        if self._runner.has_source_changed():
            notices.append(
                "The data have changed since this study read them; it is about the data as they "
                f"were. To bring everything up to date: {update}"
            )
        complete, current = self._runner.complete_stages(), self._runner.current_stages()
        stale = [name for name in complete if name not in current and name != "report"]
        if stale:
            own = [f"tenfold {name} --out {out}" for name in stale if name not in whole]
            commands = [update] * any(name in whole for name in stale) + own
            notices.append(
                f"Made with earlier data or settings, so not shown: {', '.join(stale)}. To bring "
                f"this up to date: {'; '.join(commands)}"
            )
        return tuple(notices)

    def _with_needs(self, names: tuple[str, ...], *, is_asked: bool) -> tuple[str, ...]:
        wanted: set[str] = set()
        queue = list(names)
        while queue:
            name = queue.pop()
            if name not in wanted:
                wanted.add(name)
                queue += STAGES[name].needs(self.settings)
        asked = names if is_asked else ()
        return tuple(
            name
            for name in stage_order()
            if name in wanted and (name in asked or STAGES[name].is_enabled(self.settings))
        )


def _said(name: str, error: TenfoldError) -> str:
    return f"The stage {name} could not be completed: {error}"


def check_study(settings: StudySettings, acquired: Path, stages: Collection[str]) -> list[str]:
    """Check that the stages of a study can begin with its data.

    Parameters
    ----------
    settings
        The study's.
    acquired
        Folder of the acquire stage, complete or about to be.
    stages
        Names of those that are to run.

    Returns
    -------
    list of str
        What will be otherwise than asked, for people.

    Raises
    ------
    TenfoldError
        If the network cannot be built for these images, or cannot be trained with these settings,
        or a package that a stage needs is not installed.
    """
    record = AcquireRecord.read(acquired / "record.json")
    notes: list[str] = []
    if "audit" in stages and settings.audit.label_method == "cleanlab":
        cleanlab_filter()
    if not set(stages) & set(training_stages()):
        return notes
    labels, training = read_labels(acquired, "train"), settings.training
    _, held_out, note = settings.hold_out(acquired, labels, record.classes)
    if note is not None:
        notes.append(note)
        training = training if len(held_out) else training.without_validation()
    check_fit(
        settings.network_plan(record.image_shape, len(record.classes)),
        training,
        has_validation=len(held_out) > 0,
        mirror_keeps_class=record.mirror_keeps_class,
    )
    choose_rebalancing(training.rebalance, record.train_counts, record.classes)
    if "cross-validate" in stages:
        folds = settings.cross_validate.folds
        notes += plan_folds(labels, folds, classes=record.classes).notes
    return notes
