"""The trainings of an ablation: every variant with every seed; what is finished is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import TrainingError
from tenfold.core.progress import Progress
from tenfold.core.records.ablation import Ablation
from tenfold.core.records.record import Record
from tenfold.data.split_files import read_arrays, write_arrays
from tenfold.engine.checkpoint import Checkpoint
from tenfold.engine.device import Device
from tenfold.engine.inference import predict_logits
from tenfold.fitting import NetworkPlan, fit_network
from tenfold.recipe import StudySettings
from tenfold.searching.searched_images import SearchedImages

VALIDATION_FRACTION = 0.1
"""Of the training images, stratified. The test split is not touched: what a recipe is made of is
chosen by what an ablation finds."""


class TrainingRecord(Record):
    """One finished training."""

    seconds: float
    epochs: int
    failure: str | None = None
    """Why it could not be ended: no image counts as named right then."""


@dataclass(frozen=True)
class AblationTrainings:
    """Trainings by number: variant by variant within each seed.

    Parameters
    ----------
    settings
        The whole recipe's.
    variants
        The whole recipe first.
    seeds
        The same for every variant: first weights, order and augmentation are theirs.
    images
        To train on and to score by.
    device
        Where to compute.
    work
        Folder of what is finished, and of the running ones' checkpoints.
    progress
        Who is told.
    """

    settings: StudySettings
    variants: tuple[Ablation, ...]
    seeds: tuple[int, ...]
    images: SearchedImages
    device: Device
    work: Path
    progress: Progress

    @property
    def count(self) -> int:
        """Give the number of trainings."""
        return len(self.variants) * len(self.seeds)

    def is_done(self, number: int) -> bool:
        """Say whether a training is finished."""
        return self._path(number, "json").is_file()

    def result(self, number: int) -> tuple[TrainingRecord, npt.NDArray[np.bool_]]:
        """Give a finished training, and whether each validation image was named right."""
        is_right = read_arrays(self._path(number, "npz"))["is_right"]
        return TrainingRecord.read(self._path(number, "json")), is_right

    def number(self, variant: int, seed: int) -> int:
        """Give the number of a variant's training with the seed at a place."""
        return seed * len(self.variants) + variant

    def run(self, number: int) -> None:
        """Train, if it is not done, and keep the answers on the validation images."""
        if self.is_done(number):
            return
        try:
            seconds, epochs, is_right = self._train(number)
            record = TrainingRecord(seconds=seconds, epochs=epochs)
        except TrainingError as error:  # diverged: what an ingredient may be there against
            is_right = np.zeros(len(self.images.validation), bool)
            record = TrainingRecord(seconds=0.0, epochs=0, failure=str(error))
        write_arrays(self._path(number, "npz"), is_right=is_right)
        record.write(self._path(number, "json"))
        self._path(number, "safetensors").unlink(missing_ok=True)

    def _train(self, number: int) -> tuple[float, int, npt.NDArray[np.bool_]]:
        place, variant = divmod(number, len(self.variants))
        settings = self.settings.with_changes(self.variants[variant].changes)
        training = settings.training.model_copy(update={"budget_seconds": None, "weights": "last"})
        fitted = fit_network(
            NetworkPlan.parse(
                settings.model.name,
                settings.model.settings,
                image_shape=self.images.image_shape,
                class_count=self.images.class_count,
            ),
            self.images.train,
            training,
            mirror_keeps_class=self.images.mirror_keeps_class,
            seed=self.seeds[place],
            device=self.device,
            checkpoint=Checkpoint(self._path(number, "safetensors")),
            progress=self.progress,
            title=f"{self.variants[variant].name}, seed {self.seeds[place]}",
        )
        logits = predict_logits(
            fitted.network,
            self.images.validation.images,
            device=self.device,
            precision=self.device.precision(training.precision),
        )
        is_right = logits.argmax(axis=1) == self.images.validation.labels
        return fitted.result.seconds, len(fitted.result.history), is_right

    def _path(self, number: int, suffix: str) -> Path:
        return self.work / f"training_{number}.{suffix}"
