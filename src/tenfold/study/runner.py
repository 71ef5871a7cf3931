"""Stages in their order: what is complete is skipped, what changed is made again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError, RunFolderError
from tenfold.core.files import sha256_of_file, sha256_of_json, storage_errors
from tenfold.core.progress import Progress
from tenfold.core.records.evaluation import RepeatsRecord
from tenfold.core.run_folder import (
    FEATURES,
    REPEATS_RECORD,
    Attempt,
    Manifest,
    RunFolder,
    StageFolder,
    recorded_versions,
)
from tenfold.core.stages import stage_order
from tenfold.data.sources.source import SOURCES
from tenfold.data.sources.webdataset import are_there
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.work import Place
from tenfold.study.stages.stage import STAGES, Stage, StageContext
from tenfold.training.device import Device
from tenfold.training.feature_store import feature_store

REPEATED_STAGES = ("train", "evaluate")
"""What a further run does itself; data and searched settings are the study's."""


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
    place
        Where independent work runs.
    is_beside_others
        Whether other processes run stages on the same ground: then features of frozen backbones
        are read there, and not written.
    check_data
        Told the folder of a data set that was read, before it takes the place of the one before;
        what it raises leaves that one in its place.
    before_finish
        Called before a stage takes its place in the run folder.
    startup_seconds
        What the command took before its first stage; a time budget counts from there.
    """

    settings: StudySettings
    run_folder: RunFolder
    progress: Progress
    is_offline: bool = False
    ground: RunFolder | None = None
    own_stages: tuple[str, ...] = ()
    place: Place = field(default_factory=Here)
    is_beside_others: bool = False
    check_data: Callable[[Path], object] = lambda _: None
    before_finish: Callable[[], object] = lambda: None
    startup_seconds: float = 0.0

    def stage_folder(self, name: str) -> StageFolder:
        """Give the folder of a stage."""
        is_own = self.ground is None or name in self.own_stages
        return (self.run_folder if is_own or self.ground is None else self.ground).stage(name)

    def run(self, stage: Stage, device: Device, notices: tuple[str, ...] = ()) -> StageOutcome:
        """Run a stage whose needs are complete, or find it complete already.

        Parameters
        ----------
        stage
            To run.
        device
            Where to compute.
        notices
            What the report is to say of the study's state.

        Raises
        ------
        TenfoldError
            Whatever the stage has to say.
        """
        folder = self.stage_folder(stage.name)
        inputs = self._inputs(stage, notices)
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
            place=self.place,
            notices=notices,
            started_at=clock - self.startup_seconds,
        )
        with (
            _noted_seconds(folder, attempt, clock),
            storage_errors(folder.partial, only_known=True),
            feature_store().kept_in(
                (self.ground or self.run_folder).path / FEATURES,
                is_written=not self.is_beside_others,
            ),
        ):
            stage.run(context)
            if stage.name == "acquire":
                self.check_data(folder.partial)
        seconds = time.monotonic() - clock
        self.before_finish()
        edited = folder.finish(
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
        for place in edited:
            self.progress.say(f"{stage.name}: a file that you changed there is kept as {place}")
        return StageOutcome(stage.name, True, seconds, folder.path)

    def is_current(self, stage: Stage) -> bool:
        """Say whether a stage whose needs are complete is complete, with the present settings."""
        fingerprint = self._fingerprint(stage, self._inputs(stage, ()))
        return self.stage_folder(stage.name).is_complete(fingerprint)

    def complete_stages(self) -> tuple[str, ...]:
        """Give the stages that are complete, with whatever settings and inputs, in order."""
        return tuple(
            name for name in stage_order() if self.stage_folder(name).manifest() is not None
        )

    def current_stages(self) -> frozenset[str]:
        """Give the complete stages that fit the present settings and each other.

        By their manifests alone; a stage that another version of tenfold made is one of them if
        the settings that both versions know are the same.
        """
        outdated = (self.ground or self.run_folder).outdated()
        complete = self.complete_stages()
        current: set[str] = set()
        for name in complete:
            manifest, stage = self.stage_folder(name).manifest(), STAGES[name]
            assert manifest is not None
            if (
                name not in outdated
                and _agree(manifest.settings, stage.settings_used(self.settings))
                and set(stage.needs(self.settings)) <= set(manifest.inputs)
                and all(one in current for one in manifest.inputs if one in complete)
            ):
                current.add(name)
        return frozenset(current)

    def has_source_changed(self) -> bool:
        """Say whether the files that the complete acquire stage was made of are others now."""
        manifest = self.stage_folder("acquire").manifest()
        if manifest is None or "acquire" not in self.current_stages():
            return False
        try:
            return self._source_fingerprint() != manifest.inputs["source"]
        except DataError:  # nothing is left of them that could be read
            return True

    def is_intact(self, name: str) -> bool:
        """Say whether a stage is complete, with whatever settings and inputs, and undamaged."""
        folder = self.stage_folder(name)
        manifest = folder.manifest()
        return manifest is not None and folder.is_complete(manifest.fingerprint)

    def _inputs(self, stage: Stage, notices: tuple[str, ...]) -> dict[str, str]:
        """Give the digest of everything the stage works from."""
        if stage.name == "acquire":
            return {"source": self._source_fingerprint()}
        inputs = {name: self.stage_folder(name).digest() for name in self._read_by(stage)}
        if stage.name == "report" and self._has_repeats():
            inputs["repeats"] = sha256_of_file(self.run_folder.path / REPEATS_RECORD)
        if notices:
            inputs["notices"] = sha256_of_json(notices)
        return inputs

    def _has_repeats(self) -> bool:
        """Say whether there are repeats of the study as it is."""
        path, folder = self.run_folder.path / REPEATS_RECORD, self.stage_folder("evaluate")
        try:
            return (
                path.is_file()
                and folder.manifest() is not None
                and RepeatsRecord.read(path).evaluate_digest == folder.digest()
            )
        except RunFolderError:  # damaged, or another version's: the runs make it again
            return False

    def _read_by(self, stage: Stage) -> tuple[str, ...]:
        """Give the stages that a stage needs, and the current ones that it also reads."""
        needs = stage.needs(self.settings)
        current = self.current_stages() if stage.reads_if_complete else frozenset()
        return tuple(
            name
            for name in stage_order()
            if name in needs or (name in stage.reads_if_complete and name in current)
        )

    def _source_fingerprint(self) -> str:
        """Digest the source's files; if they are gone, what was acquired from them still stands."""
        data = self.settings.data
        location = None if data.location is None else Path(data.location)
        if location is None or are_there(location):
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


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Say whether two nested settings are equal where both have a value."""
    for name in one.keys() & other.keys():
        first, second = one[name], other[name]
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            if not _agree(first, second):
                return False
        elif first != second:
            return False
    return True


@contextmanager
def _noted_seconds(folder: StageFolder, attempt: Attempt, clock: float) -> Iterator[None]:
    """Note the time spent when a stage is stopped, for the manifest of a later attempt."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the disk may be what stopped it
            folder.note(replace(attempt, seconds=attempt.seconds + time.monotonic() - clock))
        raise
