"""A process that runs trials of a search for the process that leads it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tenfold.core.progress import SilentProgress
from tenfold.core.records.record import Record
from tenfold.core.worker_pool import serve_tasks
from tenfold.engine.device import choose_device
from tenfold.recipe import StudySettings
from tenfold.searching.optuna_study import find_trial, open_study, quiet_optuna
from tenfold.searching.searched_images import SearchedImages
from tenfold.searching.trials import TrialRunner


class SearchRequest(Record):
    """What all trials have in common."""

    settings: dict[str, Any]
    acquire: Path
    work: Path
    device: str
    threads: int


def main() -> None:
    """Run the trials whose numbers come in."""
    request = SearchRequest.read(Path(sys.argv[1]))
    settings = StudySettings.resolve(request.settings)
    device = choose_device(request.device)
    torch.set_num_threads(request.threads)
    runner = TrialRunner(
        settings=settings,
        images=SearchedImages.read(request.acquire, settings),
        device=replace(device, threads=request.threads),
        work=request.work,
        progress=SilentProgress(),
    )
    with quiet_optuna():
        study = open_study(request.work / "journal.log", settings.tune)

        def run(number: int) -> None:
            trial = find_trial(study, number)
            if trial is not None:
                runner.run(study, trial)

        serve_tasks(run)


if __name__ == "__main__":
    main()
