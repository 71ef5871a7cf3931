"""A process that trains variants for the process that leads an ablation."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tenfold.ablating.trainings import VALIDATION_FRACTION, AblationTrainings
from tenfold.core.errors import TenfoldError
from tenfold.core.progress import SilentProgress
from tenfold.core.records.ablation import Ablation
from tenfold.core.records.record import Record
from tenfold.core.worker_pool import serve_tasks
from tenfold.engine.device import choose_device
from tenfold.recipe import StudySettings
from tenfold.searching.searched_images import SearchedImages


class AblationRequest(Record):
    """What all trainings have in common."""

    settings: dict[str, Any]
    variants: tuple[Ablation, ...]
    seeds: tuple[int, ...]
    acquire: Path
    work: Path
    device: str
    threads: int


def main() -> None:
    """Do the trainings whose numbers come in."""
    request = AblationRequest.read(Path(sys.argv[1]))
    settings = StudySettings.resolve(request.settings)
    device = choose_device(request.device)
    torch.set_num_threads(request.threads)
    trainings = AblationTrainings(
        settings=settings,
        variants=request.variants,
        seeds=request.seeds,
        images=SearchedImages.read(
            request.acquire,
            fraction=VALIDATION_FRACTION,
            method="stratified",
            seed=settings.seed,
        ),
        device=replace(device, threads=request.threads),
        work=request.work,
        progress=SilentProgress(),
    )

    def run(number: int) -> str | None:
        try:
            trainings.run(number)
        except TenfoldError as error:
            variant = request.variants[number % len(request.variants)]
            return f"Variant {variant.name!r}: {error}"
        return None

    serve_tasks(run)


if __name__ == "__main__":
    main()
