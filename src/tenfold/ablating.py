"""What is each ingredient of a recipe worth? Train without it, on the same seeds and images."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tenfold.auditing.pixel_groups import pixel_groups
from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.files import sha256_of_json, write_json
from tenfold.core.progress import Progress
from tenfold.core.records.ablation import AblatedScores, AblationRecord, Ingredient
from tenfold.data.dataset import ImageSplit
from tenfold.data.splits import holdout_split
from tenfold.engine.device import choose_device
from tenfold.engine.inference import predict_logits
from tenfold.engine.ingredients import NEEDED, TRAINING_INGREDIENTS
from tenfold.fitting import NetworkPlan, fit_network, take
from tenfold.metrics.crossed import crossed_interval
from tenfold.models.model import MODELS
from tenfold.recipe import StudySettings

RECORD = "ablation.json"
HELD_OUT = 0.1
"""Share of the training images that no training sees; the test split has no part in this."""


def ingredients_of(settings: StudySettings) -> tuple[Ingredient, ...]:
    """Give what the settings can be tried without: what is not switched off already."""
    model: tuple[Ingredient, ...] = getattr(MODELS[settings.model.name], "ingredients", ())
    found = []
    for ingredient in (*model, *TRAINING_INGREDIENTS):
        setting, value = NEEDED.get(ingredient.name, (None, None))
        if setting is not None and getattr(settings.training, setting) != value:
            continue
        if settings.with_changes(ingredient.changes) != settings:
            found.append(ingredient)
    return tuple(found)


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
            If an ingredient's settings do not fit the data.
        """
        chosen, held_out = self._parts(progress)
        tasks = list(self._tasks(chosen, held_out, device, jobs))
        missing = [task for task in tasks if not task.path.is_file()]
        with progress.task(
            "Ablation", len(tasks), done=len(tasks) - len(missing), unit="trainings"
        ) as bar:
            for task in _finished(missing, self.train, jobs):
                bar.advance(detail=f"{task.title}, seed {task.seed}")
        results = {(task.name, task.seed): _read(task.path) for task in tasks}
        record = self._compare(results, data, device, jobs, len(held_out))
        record.write(self.out / RECORD)
        return record

    def _parts(self, progress: Progress) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        groups = pixel_groups(self.train.images, self.train.labels, progress)
        return holdout_split(
            self.train.labels,
            fraction=HELD_OUT,
            method="stratified",
            seed=self.settings.seed,
            classes=self.classes,
            groups=groups,
        )

    def _tasks(
        self,
        chosen: npt.NDArray[np.int64],
        held_out: npt.NDArray[np.int64],
        device: str,
        jobs: int,
    ) -> Iterator[_Training]:
        digest = self.train.sha256()
        off = {
            "training.validation_fraction": 0.0,
            "training.early_stopping_patience": None,
            "training.budget_seconds": None,
        }
        for seed in self.seeds:
            for name, title, changes in (
                ("all", "with all", {}),
                *((part.name, f"without {part.name}", part.changes) for part in self.ingredients),
            ):
                settings = self.settings.with_changes({**changes, **off})
                key = sha256_of_json(
                    {
                        "data": digest,
                        "seed": seed,
                        "split": self.settings.seed,
                        "model": settings.model.plain(),
                        "training": settings.training.result_settings(),
                    }
                )
                yield _Training(
                    name,
                    title,
                    settings,
                    seed,
                    len(self.classes),
                    self.mirror_keeps_class,
                    chosen,
                    held_out,
                    device,
                    jobs,
                    self.out / "trainings" / f"{name}-{seed}-{key[:16]}.json",
                )

    def _compare(
        self,
        results: dict[tuple[str, int], dict[str, Any]],
        data: str,
        device: str,
        jobs: int,
        held_out: int,
    ) -> AblationRecord:
        def right(name: str) -> npt.NDArray[np.int8]:
            """Give what was right, shape (seeds, images)."""
            return np.array([results[name, seed]["right"] for seed in self.seeds], np.int8)

        def accuracies(name: str) -> tuple[float, ...]:
            return tuple(float(row.mean()) for row in right(name))

        def seconds(name: str) -> float:
            return float(statistics.median(results[name, seed]["seconds"] for seed in self.seeds))

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
        found = choose_device(device)
        return AblationRecord(
            recipe=self.settings.recipe.name,
            data=data,
            held_out=held_out,
            seeds=self.seeds,
            accuracies=accuracies("all"),
            seconds=seconds("all"),
            device=found.description,
            precision=str(found.precision(self.settings.training.precision)).removeprefix("torch."),
            jobs=jobs,
            versions={"torch": torch.__version__, "numpy": np.__version__},
            ablated=tuple(sorted(ablated, key=lambda scores: -scores.effect)),
        )


@dataclass(frozen=True)
class _Training:
    """One training in a process of its own; all that it needs but the images."""

    name: str
    title: str
    settings: StudySettings
    seed: int
    class_count: int
    mirror_keeps_class: bool
    chosen: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    device: str
    jobs: int
    path: Path

    def run(self, images: ImageSplit) -> None:
        """Train, score the images held out, and write which were right."""
        device = choose_device(self.device)
        if self.jobs > 1:
            torch.set_num_threads(max(1, device.threads // self.jobs))
        train, held_out = take(images, self.chosen), take(images, self.held_out)
        height, width, channels = images.images.shape[1:]
        plan = NetworkPlan.parse(
            self.settings.model.name,
            self.settings.model.settings,
            image_shape=(height, width, channels),
            class_count=self.class_count,
        )
        fitted = fit_network(
            plan,
            train,
            self.settings.training,
            mirror_keeps_class=self.mirror_keeps_class,
            seed=self.seed,
            device=device,
        )
        logits = predict_logits(
            fitted.network,
            held_out.images,
            device=device,
            precision=device.precision(self.settings.training.precision),
        )
        right = (logits.argmax(1) == held_out.labels).astype(int).tolist()
        write_json(self.path, {"right": right, "seconds": fitted.result.seconds})


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


def _finished(tasks: list[_Training], images: ImageSplit, jobs: int) -> Iterator[_Training]:
    """Run the trainings, `jobs` at a time, and give each when it is done."""
    if jobs == 1:
        for task in tasks:
            task.run(images)
            yield task
        return
    context = get_context("spawn")  # torch's threads do not outlive a fork
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_keep_images, initargs=(images,)
    ) as pool:
        running = {pool.submit(_run_in_worker, task): task for task in tasks}
        try:
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    task = running.pop(future)
                    future.result()
                    yield task
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_images: ImageSplit | None = None
"""In a worker process: the training images, handed over once."""


def _keep_images(images: ImageSplit) -> None:
    global _images  # noqa: PLW0603 -- what a worker process is started with
    _images = images


def _run_in_worker(task: _Training) -> None:
    assert _images is not None
    task.run(_images)


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content
