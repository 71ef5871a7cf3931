"""Work done in this process, one task after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core.progress import Progress, SilentProgress
from tenfold.study.scaling.crew import SECONDS_BETWEEN_LOOKS
from tenfold.study.scaling.packing import Values
from tenfold.study.scaling.work import Common, Driver, Task, Work


@dataclass(frozen=True)
class Here:
    """This process, with all its cores for each task."""

    jobs: int = 1

    def run(self, work: Work, driver: Driver) -> None:
        """Do all tasks; see `tenfold.study.scaling.work.Place.run`."""
        common = Common(work.values, work.folders, work.device)
        do = None
        looked = time.monotonic()
        while (task := driver.next_task()) is not None:
            do = do or work.function(common)
            work.folder.mkdir(parents=True, exist_ok=True)
            driver.on_done(task, do(task.inputs, _Desk(work.folder, task, driver)))
            if time.monotonic() - looked >= SECONDS_BETWEEN_LOOKS:
                looked = time.monotonic()
                driver.on_look("")


@dataclass(frozen=True)
class _Desk:
    folder: Path
    task: Task
    driver: Driver

    @property
    def progress(self) -> Progress:
        return self.driver.progress or SilentProgress()

    def ask(self, question: Values) -> dict[str, Any]:
        return dict(self.driver.on_ask(self.task, question))
