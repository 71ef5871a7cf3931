"""A process that does trainings of an ablation for the process that leads it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from tenfold.ablating.training import AblationTrainer, AblationTraining
from tenfold.core.errors import TenfoldError
from tenfold.core.records.record import Record
from tenfold.core.worker_pool import serve_tasks
from tenfold.data.split_files import read_groups, read_split
from tenfold.engine.device import choose_device


class AblationRequest(Record):
    """What all trainings have in common, and which there are."""

    images: Path
    """Folder with the training split and its groups."""
    classes: tuple[str, ...]
    mirror_keeps_class: bool
    seed: int
    """Of what is held out."""
    device: str
    threads: int
    trainings: tuple[AblationTraining, ...]


def main() -> None:
    """Do the trainings whose places in the request come in."""
    request = AblationRequest.read(Path(sys.argv[1]))
    device = choose_device(request.device)
    torch.set_num_threads(request.threads)
    trainer = AblationTrainer.of(
        read_split(request.images, "train"),
        read_groups(request.images),
        classes=request.classes,
        mirror_keeps_class=request.mirror_keeps_class,
        seed=request.seed,
        device=replace(device, threads=request.threads),
    )

    def run(place: int) -> str | None:
        try:
            trainer.run(request.trainings[place])
        except TenfoldError as error:
            return str(error)
        return None

    serve_tasks(run)


if __name__ == "__main__":
    main()
