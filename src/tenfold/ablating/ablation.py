"""An ablation: trainings with all ingredients and without each, compared on the same images."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.ablating.training import (
    AblationRequest,
    AblationTrainer,
    AblationTraining,
    TrainingScores,
    ablation_worker,
)
from tenfold.core.errors import SettingsError, TrainingError
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress, Task
from tenfold.core.records.tuning import AblatedScores, AblationRecord, Ingredient
from tenfold.core.run_folder import recorded_versions
from tenfold.core.worker_pool import WorkerPool
from tenfold.data.dataset import Groups, ImageSplit, write_groups, write_split
from tenfold.data.near_duplicates import pixel_groups
from tenfold.evaluation.differences import crossed_interval
from tenfold.recipe import StudySettings
from tenfold.training.device import Device, choose_device

RECORD = "ablation.json"
_WORK = ".work"
_UNWATCHED = {
    "training.validation_fraction": 0.0,
    "training.early_stopping_patience": None,
    "training.budget_seconds": None,
}
"""What every training of an ablation does without."""


@dataclass(frozen=True)
class Ablation:
    """Trainings with all ingredients and without each, kept in a folder as they end.

    Parameters
    ----------
    settings
        The recipe, whose model and training are tried; a time budget has no part in it.
    train
        Training images: all trainings hold the same tenth of them out.
    classes
        Names of the classes.
    mirror_keeps_class
        Whether augmentation may flip.
    ingredients
        Which to do without; see `tenfold.ablating.ingredients`.
    seeds
        Trainings of each.
    out
        Folder for ``trainings/`` and `RECORD`.
    """

    settings: StudySettings
    train: ImageSplit
    classes: tuple[str, ...]
    mirror_keeps_class: bool
    ingredients: tuple[Ingredient, ...]
    seeds: tuple[int, ...]
    out: Path

    def run(self, *, data: str, device: str, jobs: int, progress: Progress) -> AblationRecord:
        """Train what is missing, then compare and write the record.

        Parameters
        ----------
        data
            What the images are, for people.
        device
            Name of the device.
        jobs
            Trainings at a time. Each has its share of the cores.
        progress
            Who is told.

        Raises
        ------
        SettingsError
            If the settings do not fit the data, or follow validation images, which there are none.
        TrainingError
            If a training fails.
        """
        if self.settings.training.schedule == "plateau":
            raise SettingsError(
                "The schedule 'plateau' follows validation images, and an ablation trains without "
                "them. Choose another, for example: --set training.schedule=linear"
            )
        groups = pixel_groups(self.train.images, self.train.labels, progress)
        found = choose_device(device)
        trainings = list(self._trainings())
        missing = [training for training in trainings if not training.path.is_file()]
        with progress.task(
            "Ablation", len(trainings), done=len(trainings) - len(missing), unit="trainings"
        ) as bar:
            if jobs == 1:
                self._train_here(missing, groups, found, bar)
            elif missing:
                self._train_in_processes(missing, groups, found, jobs, bar)
        results = {
            (training.name, training.seed): TrainingScores.read(training.path)
            for training in trainings
        }
        record = self._compare(results, data, found, jobs)
        record.write(self.out / RECORD)
        return record

    def _trainings(self) -> Iterator[AblationTraining]:
        digest = self.train.sha256()
        for seed in self.seeds:
            for name, changes in (
                ("all", {}),
                *((ingredient.name, ingredient.changes) for ingredient in self.ingredients),
            ):
                settings = self.settings.with_changes({**changes, **_UNWATCHED})
                key = sha256_of_json(
                    {
                        "data": digest,
                        "seed": seed,
                        "split": self.settings.seed,
                        "model": settings.model.plain(),
                        "training": settings.training.result_settings(),
                    }
                )
                yield AblationTraining(
                    name=name,
                    seed=seed,
                    settings=settings.flat(),
                    path=self.out / "trainings" / f"{name}-{seed}-{key[:16]}.json",
                )

    def _train_here(
        self,
        trainings: list[AblationTraining],
        groups: Groups,
        device: Device,
        bar: Task,
    ) -> None:
        trainer = AblationTrainer.of(
            self.train,
            groups,
            classes=self.classes,
            mirror_keeps_class=self.mirror_keeps_class,
            seed=self.settings.seed,
            device=device,
        )
        for training in trainings:
            trainer.run(training)
            bar.advance(detail=training.title)

    def _train_in_processes(
        self,
        trainings: list[AblationTraining],
        groups: Groups,
        device: Device,
        jobs: int,
        bar: Task,
    ) -> None:
        work = self.out / _WORK
        write_split(work, "train", self.train)
        write_groups(work, groups)
        threads = max(1, device.threads // jobs)
        request = work / "request.json"
        AblationRequest(
            images=work,
            classes=self.classes,
            mirror_keeps_class=self.mirror_keeps_class,
            seed=self.settings.seed,
            device=device.kind,
            threads=threads,
            trainings=tuple(trainings),
        ).write(request)
        places = iter(range(len(trainings)))

        def lost(place: int, reason: str) -> None:
            raise TrainingError(f"A training failed ({trainings[place].title}): {reason}")

        try:
            WorkerPool(ablation_worker, request, jobs, threads, work / "workers.log").run(
                lambda: next(places, None),
                on_done=lambda place: bar.advance(detail=trainings[place].title),
                on_lost=lost,
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _compare(
        self,
        results: dict[tuple[str, int], TrainingScores],
        data: str,
        device: Device,
        jobs: int,
    ) -> AblationRecord:
        def right(name: str) -> npt.NDArray[np.int8]:
            """Give what was right, shape (seeds, images)."""
            return np.array([results[name, seed].right for seed in self.seeds], np.int8)

        def accuracies(name: str) -> tuple[float, ...]:
            return tuple(float(row.mean()) for row in right(name))

        def seconds(name: str) -> float:
            return float(statistics.median(results[name, seed].seconds for seed in self.seeds))

        ablated = [
            AblatedScores(
                ingredient=part,
                accuracies=accuracies(part.name),
                seconds=seconds(part.name),
                effect=float((right("all") - right(part.name)).mean()),
                interval=crossed_interval((right("all") - right(part.name)).astype(float)),
            )
            for part in self.ingredients
        ]
        return AblationRecord(
            recipe=self.settings.recipe.name,
            data=data,
            held_out=right("all").shape[1],
            seeds=self.seeds,
            accuracies=accuracies("all"),
            seconds=seconds("all"),
            device=device.description,
            precision=device.precision_name(self.settings.training.precision),
            jobs=jobs,
            versions=recorded_versions(),
            ablated=tuple(sorted(ablated, key=lambda scores: -scores.effect)),
        )
