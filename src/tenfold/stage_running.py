"""One stage run in its folder, unless it is complete there with the same settings and inputs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tenfold.core.errors import RunFolderError
from tenfold.core.files import sha256_of_file, sha256_of_json, storage_errors
from tenfold.core.progress import Progress
from tenfold.core.records.manifest import Manifest
from tenfold.core.run_folder import REPEATS_RECORD, Attempt, RunFolder, StageFolder
from tenfold.core.versions import recorded_versions
from tenfold.engine.device import Device
from tenfold.recipe import StudySettings
from tenfold.sources.source import SOURCES
from tenfold.stages.stage import Stage, StageContext, stage_order


@dataclass(frozen=True)
class StageOutcome:
    """What became of a stage.

    Parameters
    ----------
    name
        The stage.
    was_run
        False if it was complete already.
    seconds
        Of this run, 0 if it was complete.
    folder
        Where its results lie.
    """

    name: str
    was_run: bool
    seconds: float
    folder: Path

    def sentence(self) -> str:
        """Say it in one line."""
        return f"{self.name}: " + (
            f"done in {self.seconds:.1f} s" if self.was_run else "complete already"
        )


@dataclass(frozen=True)
class StageRunner:
    """Runs the stages of one study, or of one of its repeats.

    Parameters
    ----------
    settings
        The study's.
    run_folder
        Where the stages lie.
    progress
        Who is told.
    is_offline
        Whether downloads are forbidden.
    ground
        Where the stages lie that are not in `own_stages`; None for a whole study.
    own_stages
        Of a repeat: the stages that it runs itself.
    jobs
        Processes that a search may use.
    """

    settings: StudySettings
    run_folder: RunFolder
    progress: Progress
    is_offline: bool = False
    ground: RunFolder | None = None
    own_stages: tuple[str, ...] = ()
    jobs: int = 1

    def stage_folder(self, name: str) -> StageFolder:
        """Give the folder of a stage."""
        is_own = self.ground is None or name in self.own_stages
        return (self.run_folder if is_own or self.ground is None else self.ground).stage(name)

    def run(self, stage: Stage, device: Device) -> StageOutcome:
        """Run a stage whose needs are complete, or find it complete already.

        Raises
        ------
        TenfoldError
            Whatever the stage has to say.
        """
        folder = self.stage_folder(stage.name)
        inputs = self._inputs(stage)
        fingerprint = self._fingerprint(stage, inputs)
        if folder.is_complete(fingerprint):
            folder.clear_work()  # a kill may have come just before that
            return StageOutcome(stage.name, False, 0.0, folder.path)
        attempt = folder.begin(fingerprint)
        started, clock = datetime.now(UTC), time.monotonic()
        context = StageContext(
            settings=self.settings,
            run_folder=self.run_folder.path,
            folder=folder.partial,
            inputs={name: self.stage_folder(name).path for name in self._read_by(stage)},
            device=device,
            progress=self.progress,
            is_offline=self.is_offline,
            jobs=self.jobs,
        )
        with (
            _noted_seconds(folder, attempt, clock),
            storage_errors(folder.partial, only_known=True),
        ):
            stage.run(context)
        seconds = time.monotonic() - clock
        folder.finish(
            Manifest(
                stage=stage.name,
                fingerprint=fingerprint,
                settings=stage.settings_used(self.settings),
                inputs=inputs,
                files={},
                versions=recorded_versions(),
                device=device.description,
                started=started.isoformat(timespec="seconds"),
                seconds=attempt.seconds + seconds,
                attempts=attempt.count,
            )
        )
        return StageOutcome(stage.name, True, seconds, folder.path)

    def _inputs(self, stage: Stage) -> dict[str, str]:
        """Give the digest of everything the stage works from."""
        if stage.name == "acquire":
            return {"source": self._source_fingerprint()}
        inputs = {name: self.stage_folder(name).digest() for name in self._read_by(stage)}
        if stage.name == "report" and (self.run_folder.path / REPEATS_RECORD).is_file():
            inputs["repeats"] = sha256_of_file(self.run_folder.path / REPEATS_RECORD)
        return inputs

    def _read_by(self, stage: Stage) -> tuple[str, ...]:
        """Give the stages that a stage needs, and the complete ones that it also reads."""
        needs = stage.needs(self.settings)
        return tuple(
            name
            for name in stage_order()
            if name in needs
            or (name in stage.reads_if_complete and self.stage_folder(name).manifest() is not None)
        )

    def _source_fingerprint(self) -> str:
        """Digest the source's files; if they are gone, what was acquired from them still stands."""
        data = self.settings.data
        location = None if data.location is None else Path(data.location)
        if location is None or location.exists():
            return SOURCES[data.source].fingerprint(location)
        manifest = self.stage_folder("acquire").manifest()
        if manifest is None:
            raise RunFolderError(f"{location} is not there any more, and was not read before.")
        return manifest.inputs["source"]

    def _fingerprint(self, stage: Stage, inputs: dict[str, str]) -> str:
        return sha256_of_json(
            {
                "stage": stage.name,
                "version": stage.version,
                "settings": stage.settings_used(self.settings),
                "inputs": inputs,
            }
        )

    def is_fresh(self, stage: Stage) -> bool:
        """Say whether a stage is complete with the present settings and inputs."""
        needs = stage.needs(self.settings)
        if any(self.stage_folder(need).manifest() is None for need in needs):
            return False
        fingerprint = self._fingerprint(stage, self._inputs(stage))
        return self.stage_folder(stage.name).is_complete(fingerprint)


@contextmanager
def _noted_seconds(folder: StageFolder, attempt: Attempt, clock: float) -> Iterator[None]:
    """Write down the time spent when a stage is stopped, for the manifest of a later attempt."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the disk may be what stopped it
            folder.note(replace(attempt, seconds=attempt.seconds + time.monotonic() - clock))
        raise
