"""One small real study, with planted faults, for the tests of the report."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tenfold.study.recipe import StudySettings, load_recipe
from tenfold.study.study import Study

CLASSES = ("dark & dull", "gray", "light", "red")
TRAIN_COUNTS = (40, 36, 30, 20)
TEST_COUNTS = (12, 12, 10, 10)
LEAKS = 3
"""Test images of the first class that are training images too."""
WRONG_LABELS = 2
"""Test images of the second class that are labelled as the first."""
CONFLICTS = 1
"""Training images of the third class that are in the fourth as well."""
SIZE_PX = 24


def _image(
    class_index: int, random: np.random.Generator, contrast: int = 25
) -> npt.NDArray[np.uint8]:
    """Draw soft blobs around the class's colour, so that no two images are the same shot."""
    coarse = random.integers(-contrast, contrast + 1, (6, 6, 3)).repeat(4, axis=0).repeat(4, axis=1)
    level = ((40, 40, 40), (120, 120, 120), (210, 210, 210), (200, 60, 60))[class_index]
    return (level + coarse).astype(np.uint8)


def write_images(folder: Path) -> None:
    """Write train/ and test/ with a folder a class, the faults named above and a broken file."""
    random = np.random.default_rng(5)
    dark, gray, light, red = CLASSES
    for split, counts in (("train", TRAIN_COUNTS), ("test", TEST_COUNTS)):
        for class_index, (name, count) in enumerate(zip(CLASSES, counts, strict=True)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(_image(class_index, random))
                image.save(folder / split / name / f"{number:02}.png")
    for number in range(WRONG_LABELS):
        typical = Image.fromarray(_image(1, random, contrast=8))  # so that it is surely flagged
        typical.save(folder / "test" / dark / f"{number:02}.png")
    for number in range(LEAKS):
        copy = f"{WRONG_LABELS + number:02}.png"
        shutil.copy(folder / "test" / dark / copy, folder / "train" / dark / copy)
    shutil.copy(folder / "train" / light / "00.png", folder / "train" / red / "00.png")
    (folder / "train" / gray / "broken.png").write_bytes(b"no image")


def study_settings(folder: Path) -> StudySettings:
    """Give recipe `report`, every stage of it, so small that it takes some seconds."""
    return load_recipe("report").with_changes(
        {
            "data.source": "folder",
            "data.location": str(folder.resolve()),
            "explore.samples_per_class": 3,
            "explore.augmented_samples": 4,
            "model.conv_layers": 1,
            "model.filters": [8],
            "model.units": 16,
            "model.conv_dropout": 0.0,
            "model.dense_dropout": 0.0,
            "training.epochs": 20,
            "training.batch_size": 8,
            "training.learning_rate": 0.001,
            "training.precision": "float32",
            "training.validation_method": "stratified",
            "tune.epochs": 1,
            "tune.batch_size": 8,
            "tune.space": [
                {"name": "model.units", "low": 8, "high": 32, "step": 8},
                {"name": "training.optimizer", "choices": ["adam", "rmsprop"]},
            ],
            "cross_validate.folds": 2,
            "cross_validate.epochs": 20,
            "cross_validate.warm_start.epochs": 1,
            "cross_validate.warm_start.batch_size": 8,
        }
    )


def run_study(images: Path, out: Path) -> Path:
    """Run every stage but the page, twice with other seeds; give the run folder."""
    write_images(images)
    study = Study(study_settings(images), out)
    for _ in study.run("explore", "tune", "train", "evaluate", "cross-validate", "audit", runs=2):
        pass
    return out
