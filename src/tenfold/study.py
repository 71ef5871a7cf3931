"""A study: a data set, a recipe and a run folder. Orders the stages, skips what is complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.run_folder import RunFolder
from tenfold.corrections_file import adopt_corrections
from tenfold.engine.device import Device, choose_device
from tenfold.recipe import StudySettings
from tenfold.repeating import REPEATED_STAGES, Repeats
from tenfold.stage_running import StageOutcome, StageRunner
from tenfold.stages.stage import STAGES, stage_order


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
        File of the corrections that the settings name; None if the run folder has it already.
    jobs
        Processes that a search may use; they share the processor's cores.
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
        corrections: Path | None = None,
        jobs: int = 1,
    ) -> None:
        self.settings = settings
        self.run_folder = RunFolder(out)
        self.device_name = device
        self.update = update
        self.corrections = corrections
        self._runner = StageRunner(
            settings, self.run_folder, progress or SilentProgress(), is_offline, jobs=jobs
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
            folder.adopt_settings(self.settings.flat(), update=self.update)
            adopt_corrections(folder.path, self.settings.data.corrections, self.corrections)
            if self.update:
                self._remove_stale()
            for name in wanted:
                if name != "report":
                    yield self._runner.run(STAGES[name], device)
            yield from self._repeat(runs, device)
            if "report" in wanted:  # the page shows the repeats
                yield self._runner.run(STAGES["report"], device)

    def _repeat(self, runs: int, device: Device) -> Iterator[StageOutcome]:
        repeats = Repeats(self._runner)
        repeats.remove_stale_record()
        if runs > 1:
            yield from repeats.run(runs, device)

    def _with_needs(self, names: tuple[str, ...], *, is_asked: bool) -> tuple[str, ...]:
        wanted: set[str] = set()
        queue = list(names)
        while queue:
            name = queue.pop()
            if name not in wanted:
                wanted.add(name)
                queue += STAGES[name].needs(self.settings)
        asked = names if is_asked else ()
        for name, is_enabled in (
            ("tune", self.settings.tune.is_enabled),
            ("cross-validate", self.settings.cross_validate.is_enabled),
            ("audit", self.settings.audit.is_enabled),
        ):
            if not is_enabled and name not in asked:
                wanted.discard(name)
        return tuple(name for name in stage_order() if name in wanted)

    def _remove_stale(self) -> None:
        """Remove the stages that the new settings touch, and what was built on them."""
        for name in stage_order():
            folder = self.run_folder.stage(name)
            if folder.manifest() is not None and not self._runner.is_fresh(STAGES[name]):
                folder.remove()
