"""An ablation: what each ingredient of a recipe gives, measured by leaving it out."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.files import sha256_of_json, write_text
from tenfold.core.progress import Progress
from tenfold.core.progress import Task as Bar
from tenfold.core.record import Record
from tenfold.core.records.tuning import AblatedScores, AblationRecord, Ingredient
from tenfold.core.run_folder import FEATURES, WORK, recorded_versions
from tenfold.data.dataset import (
    Groups,
    ImageSplit,
    read_groups,
    read_split,
    write_groups,
    write_split,
)
from tenfold.data.near_duplicates import pixel_groups
from tenfold.data.splits import holdout_split
from tenfold.evaluation.differences import crossed_interval
from tenfold.models.model import MODELS
from tenfold.study.image_tasks import NetworkWork
from tenfold.study.kept_features import feature_folders, keep_features, known_features
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.packing import Values
from tenfold.study.scaling.work import Common, Desk, DoTask, Place, Task, Work, run_tasks
from tenfold.training.device import Device, choose_device
from tenfold.training.feature_store import feature_store
from tenfold.training.fit import fit_network
from tenfold.training.inference import predict_logits
from tenfold.training.loop import Trainer
from tenfold.training.settings import TRAINING_INGREDIENTS

RECORD = "ablation.json"
TRAININGS = "trainings"
HELD_OUT = 0.1
"""Share of the training images that no training sees; the test split has no part in this."""
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
        Which to do without; see `ingredients_of`.
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

    def run(
        self, *, data: str, device: str, progress: Progress, place: Place | None = None
    ) -> AblationRecord:
        """Train what is missing, then compare and write the record.

        Parameters
        ----------
        data
            What the images are, for people.
        device
            Name of the device.
        progress
            Who is told.
        place
            Where the trainings run; None for this process.

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
        missing = [training for training in trainings if not self._path(training).is_file()]
        with progress.task(
            "Ablation", len(trainings), done=len(trainings) - len(missing), unit="trainings"
        ) as bar:
            if missing:
                self._train(missing, groups, found, place or Here(), bar, progress=progress)
        results = {
            (training.name, training.seed): TrainingScores.read(self._path(training))
            for training in trainings
        }
        record = self._compare(results, data, found, 1 if place is None else place.jobs)
        record.write(self.out / RECORD)
        return record

    def _path(self, training: AblationTraining) -> Path:
        return self.out / TRAININGS / training.file

    def _trainings(self) -> Iterator[AblationTraining]:
        digest = self.train.sha256()
        for seed in self.seeds:
            for name, changes in (
                ("all", {}),
                *((ingredient.name, ingredient.changes) for ingredient in self.ingredients),
            ):
                settings = self.settings.with_changes({**changes, **_UNWATCHED})
                depends_on = {"data": digest, "seed": seed, "split": self.settings.seed}
                key = sha256_of_json(settings.result_settings() | depends_on)
                yield AblationTraining(
                    name=name,
                    seed=seed,
                    settings=settings.flat(),
                    file=f"{name}-{seed}-{key[:16]}.json",
                )

    def _train(
        self,
        trainings: list[AblationTraining],
        groups: Groups,
        device: Device,
        place: Place,
        bar: Bar,
        *,
        progress: Progress,
    ) -> None:
        images = self.out / WORK
        write_split(images, "train", self.train)
        write_groups(images, groups)
        tasks = [
            Task(training.title, {"training": training.model_dump()}, files=training.file)
            for training in trainings
        ]
        features = self.out / FEATURES
        try:
            with feature_store().kept_in(features):
                self._keep_features(trainings, images, device, place, progress)
                work = Work(
                    ablation_worker,
                    self.out / TRAININGS,
                    values={
                        "classes": self.classes,
                        "mirror_keeps_class": self.mirror_keeps_class,
                        "seed": self.settings.seed,
                    },
                    folders={"images": images} | feature_folders(),
                    device=device,
                )
                run_tasks(
                    place,
                    work,
                    tasks,
                    lambda task, _result: bar.advance(detail=task.name),
                    on_look=lambda state: bar.advance(0, detail=state),
                )
        finally:
            for folder in (images, features):
                shutil.rmtree(folder, ignore_errors=True)

    def _keep_features(
        self,
        trainings: list[AblationTraining],
        images: Path,
        device: Device,
        place: Place,
        progress: Progress,
    ) -> None:
        """Compute what trainings read of frozen backbones, for each network once."""
        train, is_done = read_split(images, "train").images, set()
        for training in trainings:
            settings = StudySettings.resolve(training.settings)
            key = sha256_of_json([training.settings["model"], settings.training.precision])
            if key not in is_done:
                is_done.add(key)
                keep_features(
                    settings.network_plan(train.shape[1:], len(self.classes)),
                    train,
                    mirror_keeps_class=self.mirror_keeps_class,
                    work=NetworkWork(
                        place, images, "images", device, settings.training.precision, progress
                    ),
                )

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

        def ablated(ingredient: Ingredient) -> AblatedScores:
            lost = right("all") - right(ingredient.name)
            return AblatedScores(
                ingredient=ingredient,
                accuracies=accuracies(ingredient.name),
                seconds=seconds(ingredient.name),
                effect=float(lost.mean()),
                interval=crossed_interval(lost.astype(float)),
            )

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
            ablated=tuple(sorted(map(ablated, self.ingredients), key=lambda one: -one.effect)),
        )


def ingredients_of(settings: StudySettings) -> tuple[Ingredient, ...]:
    """Give what the settings can be tried without: what is not switched off already."""
    training = settings.training
    return tuple(
        ingredient
        for ingredient in (*MODELS[settings.model.name].ingredients, *TRAINING_INGREDIENTS)
        if all(getattr(training, name) == value for name, value in ingredient.only_with.items())
        and settings.with_changes(ingredient.changes) != settings
    )


def parse_names(settings: StudySettings, names: Sequence[str]) -> tuple[Ingredient, ...]:
    """Give the ingredients of these names; all if there are none.

    Raises
    ------
    UnknownNameError
        If the settings have no such ingredient.
    SettingsError
        If the settings have none at all.
    """
    found = {ingredient.name: ingredient for ingredient in ingredients_of(settings)}
    if not found:
        raise SettingsError(
            f"Recipe {settings.recipe.name!r} has no ingredient that can be switched off."
        )
    for name in names:
        if name not in found:
            raise UnknownNameError("ingredient", name, found)
    return tuple(found[name] for name in names) if names else tuple(found.values())


class AblationTraining(Record):
    """What to train, and where the result is kept."""

    name: str
    """The ingredient that is left out, or ``all``."""
    seed: int
    settings: dict[str, Any]
    """Of the whole study."""
    file: str
    """Name of the file in `TRAININGS` that keeps the result."""

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
    """Does the trainings of an ablation, all fitted to the same images and scored by the same."""

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

    def run(self, training: AblationTraining, path: Path) -> None:
        """Train, score the images held out, and write the result."""
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
        write_text(path, scores.model_dump_json() + "\n")


def ablation_worker(common: Common) -> DoTask:
    """Get ready for trainings; a `WorkerFunction`."""
    images = common.folders["images"]
    trainer = AblationTrainer.of(
        read_split(images, "train"),
        read_groups(images),
        classes=tuple(common.values["classes"]),
        mirror_keeps_class=common.values["mirror_keeps_class"],
        seed=common.values["seed"],
        device=common.device,
    )

    def do(inputs: Values, desk: Desk) -> bytes:
        training = AblationTraining.model_validate(inputs["training"])
        with known_features(common.folders):
            trainer.run(training, desk.folder / training.file)
        return b""

    return do
