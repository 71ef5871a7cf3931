"""A study: a data set, a recipe and a run folder. Orders the stages, skips what is complete."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tenfold.core.errors import RunFolderError
from tenfold.core.files import sha256_of_json, storage_errors
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.records.manifest import Manifest
from tenfold.core.run_folder import Attempt, RunFolder, StageFolder
from tenfold.engine.device import Device, choose_device
from tenfold.recipe import StudySettings
from tenfold.sources.source import SOURCES
from tenfold.stages.stage import STAGES, Stage, StageContext, stage_order

_RECORDED_PACKAGES = (
    "tenfold",
    "torch",
    "numpy",
    "scikit-learn",
    "scipy",
    "optuna",
    "pydantic",
    "safetensors",
    "pillow",
    "matplotlib",
)


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
    ) -> None:
        self.settings = settings
        self.run_folder = RunFolder(out)
        self.device_name = device
        self.progress = progress or SilentProgress()
        self.update = update
        self.is_offline = is_offline

    def run(self, *stages: str) -> Iterator[StageOutcome]:
        """Run the named stages and what they need; without names, the whole study.

        Yields
        ------
        StageOutcome
            One a stage, as each is complete.

        Raises
        ------
        UnknownNameError
            If there is no such stage.
        RunFolderError
            If the run folder was made by other settings, or another process works in it.
        TenfoldError
            Whatever a stage has to say.
        """
        wanted = self._with_needs(stages or stage_order(), is_asked=bool(stages))
        device = choose_device(self.device_name)
        with self.run_folder as folder:
            folder.adopt_settings(self.settings.flat(), update=self.update)
            if self.update:
                self._remove_stale()
            for name in wanted:
                yield self._run_stage(STAGES[name], device)

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
        ):
            if not is_enabled and name not in asked:
                wanted.discard(name)
        return tuple(name for name in stage_order() if name in wanted)

    def _run_stage(self, stage: Stage, device: Device) -> StageOutcome:
        folder = self.run_folder.stage(stage.name)
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
            inputs={need: self.run_folder.stage(need).path for need in stage.needs(self.settings)},
            device=device,
            progress=self.progress,
            is_offline=self.is_offline,
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
                versions=_versions(),
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
        names = stage.needs(self.settings)
        if stage.name == "report":  # it shows whatever is complete
            names = tuple(
                name
                for name in stage_order()
                if name != "report" and self.run_folder.stage(name).manifest() is not None
            )
        return {name: self.run_folder.stage(name).digest() for name in names}

    def _source_fingerprint(self) -> str:
        """Digest the source's files; if they are gone, what was acquired from them still stands."""
        data = self.settings.data
        location = None if data.location is None else Path(data.location)
        if location is None or location.exists():
            return SOURCES[data.source].fingerprint(location)
        manifest = self.run_folder.stage("acquire").manifest()
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

    def _remove_stale(self) -> None:
        """Remove the stages that the new settings touch, and what was built on them."""
        for name in stage_order():
            folder = self.run_folder.stage(name)
            if folder.manifest() is not None and not self._is_fresh(STAGES[name]):
                folder.remove()

    def _is_fresh(self, stage: Stage) -> bool:
        needs = stage.needs(self.settings)
        if any(self.run_folder.stage(need).manifest() is None for need in needs):
            return False
        fingerprint = self._fingerprint(stage, self._inputs(stage))
        return self.run_folder.stage(stage.name).is_complete(fingerprint)


@contextmanager
def _noted_seconds(folder: StageFolder, attempt: Attempt, clock: float) -> Iterator[None]:
    """Write down the time spent when a stage is stopped, for the manifest of a later attempt."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the disk may be what stopped it
            folder.note(replace(attempt, seconds=attempt.seconds + time.monotonic() - clock))
        raise


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
