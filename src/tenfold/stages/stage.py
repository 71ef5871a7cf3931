"""What a stage is, and what it gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core.progress import Progress
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.tuning import TuneRecord
from tenfold.core.registry import Registry
from tenfold.core.run_folder import WORK
from tenfold.core.stages import STAGE_FILES
from tenfold.recipe import StudySettings
from tenfold.training.device import Device

RECORD = "record.json"


@dataclass(frozen=True)
class StageContext:
    """What a stage works with.

    Parameters
    ----------
    settings
        The study's.
    run_folder
        The study's folder; only the report stage looks around in it, and acquire reads its
        corrections.
    folder
        Where the stage writes; what an attempt that was cut off left is still there.
    inputs
        The folders of the complete stages it needs, and of those complete ones it reads if they
        are there, by stage name.
    device
        Where to compute.
    progress
        Who is told.
    is_offline
        Whether downloads are forbidden.
    jobs
        Processes that a search may use.
    notices
        What the report is to say of the study's state.
    started_at
        When a time budget began to run, on `time.monotonic`'s clock; None for when the training
        begins.
    """

    settings: StudySettings
    run_folder: Path
    folder: Path
    inputs: Mapping[str, Path]
    device: Device
    progress: Progress
    is_offline: bool = False
    jobs: int = 1
    notices: tuple[str, ...] = ()
    started_at: float | None = None

    @property
    def work(self) -> Path:
        """Give the folder for what only serves to go on after a kill."""
        return self.folder / WORK

    def acquired(self) -> AcquireRecord:
        """Read what the acquire stage found."""
        return AcquireRecord.read(self.inputs["acquire"] / RECORD)

    def tuned_settings(self) -> StudySettings:
        """Give the study's settings with the search's best values in, if there was a search."""
        if "tune" not in self.inputs:
            return self.settings
        best = TuneRecord.read(self.inputs["tune"] / RECORD).best_parameters
        return self.settings.with_changes(best)


class Stage(ABC):
    """One stage of a study.

    `position` and `summary` are written as plain values in one line, and so is `is_training`: they
    are read from the file's text (see `tenfold.core.stages`).
    """

    name: str
    position: int
    """Place in the order of a whole study."""
    version: int
    """Raised when the same settings and inputs give another result than before."""
    summary: str
    """What its command does, for the command line's help."""
    is_training = False
    """Whether it trains networks: then the data are looked at before hours are spent."""
    is_dispensable = False
    """Whether a whole study still has a model and a report without it."""

    @property
    def reads_if_complete(self) -> tuple[str, ...]:
        """Give the stages that it does not need, but whose results it uses if they are there."""
        return ()

    def is_enabled(self, settings: StudySettings) -> bool:
        """Say whether a study with these settings has it, even if nobody asks for it by name."""
        del settings
        return True

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give the stages that have to be complete first."""
        del settings
        return ("acquire",)

    @abstractmethod
    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the settings that the result depends on: others may change without a new run."""

    @abstractmethod
    def run(self, context: StageContext) -> None:
        """Do the work and write the record and files into the context's folder.

        The call may come again after the process was killed at any moment: what is already in the
        folder was made with the same settings and inputs.
        """


STAGES: Registry[Stage] = STAGE_FILES
"""All stages by name."""
