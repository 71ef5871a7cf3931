"""One training of an ablation, scored on the images that no training of it sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch

from tenfold.core.errors import TenfoldError
from tenfold.core.files import write_text
from tenfold.core.record import Record
from tenfold.data.dataset import Groups, ImageSplit, read_groups, read_split
from tenfold.data.splits import holdout_split
from tenfold.recipe import StudySettings
from tenfold.training.device import Device, choose_device
from tenfold.training.fit import fit_network
from tenfold.training.inference import predict_logits
from tenfold.training.loop import Trainer

HELD_OUT = 0.1
"""Share of the training images that no training sees; the test split has no part in this."""


class AblationTraining(Record):
    """What to train, and where the result is kept."""

    name: str
    """The ingredient that is left out, or ``all``."""
    seed: int
    settings: dict[str, Any]
    """Of the whole study."""
    path: Path

    @property
    def title(self) -> str:
        """Give what it is, for people."""
        which = "with all" if self.name == "all" else f"without {self.name}"
        return f"{which}, seed {self.seed}"


class TrainingScores(Record):
    """What one training gave."""

    right: tuple[int, ...]
    """1 for each image held out that was named rightly, else 0."""
    seconds: float


@dataclass(frozen=True)
class AblationTrainer:
    """Does the trainings of an ablation, all on the same images.

    Parameters
    ----------
    train, held_out
        Images to fit to, and to score by.
    classes
        Names of the classes.
    mirror_keeps_class
        Whether augmentation may flip.
    device
        Where to compute.
    """

    train: ImageSplit
    held_out: ImageSplit
    classes: tuple[str, ...]
    mirror_keeps_class: bool
    device: Device

    @classmethod
    def of(
        cls,
        images: ImageSplit,
        groups: Groups,
        *,
        classes: tuple[str, ...],
        mirror_keeps_class: bool,
        seed: int,
        device: Device,
    ) -> Self:
        """Hold a tenth of the images out, near-duplicates on one side."""
        kept, held_out = holdout_split(
            images.labels,
            fraction=HELD_OUT,
            method="stratified",
            seed=seed,
            classes=classes,
            groups=groups,
        )
        return cls(images.take(kept), images.take(held_out), classes, mirror_keeps_class, device)

    def run(self, training: AblationTraining) -> None:
        """Train, score the images held out, and write the result.

        Raises
        ------
        TenfoldError
            If the settings do not fit the data, or the training fails.
        """
        settings = StudySettings.resolve(training.settings)
        plan = settings.network_plan(self.train.images.shape[1:], len(self.classes))
        trainer = Trainer(
            settings.training,
            training.seed,
            self.device,
            mirror_keeps_class=self.mirror_keeps_class,
            classes=self.classes,
        )
        fitted = fit_network(trainer, plan, self.train)
        logits = predict_logits(
            fitted.network, self.held_out.images, device=self.device, precision=trainer.precision
        )
        right = (logits.argmax(1) == self.held_out.labels).astype(int).tolist()
        scores = TrainingScores(right=tuple(right), seconds=fitted.seconds)
        write_text(training.path, scores.model_dump_json() + "\n")


class AblationRequest(Record):
    """What all trainings have in common that other processes do, and which there are."""

    images: Path
    """Folder with the training split and its groups."""
    classes: tuple[str, ...]
    mirror_keeps_class: bool
    seed: int
    """Of what is held out."""
    device: str
    threads: int
    trainings: tuple[AblationTraining, ...]


def ablation_worker(request: Path) -> Callable[[int], str | None]:
    """Get ready for trainings by their places; a `WorkerFunction`."""
    ablation = AblationRequest.read(request)
    device = choose_device(ablation.device)
    torch.set_num_threads(ablation.threads)
    trainer = AblationTrainer.of(
        read_split(ablation.images, "train"),
        read_groups(ablation.images),
        classes=ablation.classes,
        mirror_keeps_class=ablation.mirror_keeps_class,
        seed=ablation.seed,
        device=replace(device, threads=ablation.threads),
    )

    def run(place: int) -> str | None:
        try:
            trainer.run(ablation.trainings[place])
        except TenfoldError as error:
            return str(error)
        return None

    return run
