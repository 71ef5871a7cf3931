"""Plausible studies for the report's tests: the original's, partial, many hostile names, gray."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from builders.data import CIFAR10_CLASSES, acquire_record, explore_record
from builders.evaluation import evaluate_record, random_confusion
from builders.references import manifests, references
from builders.repeated import protocol_record
from builders.searches import search_over_models, tune_record
from builders.training import OUR_VALIDATION_ACCURACY, train_record
from tenfold.core.records.data import LeftOutImage
from tenfold.core.records.evaluation import CrossValidateRecord
from tenfold.report.records import StudyRecords


def _images(*shape: int) -> npt.NDArray[np.uint8]:
    """Draw soft blobs, which look more like photographs than noise does."""
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (*shape[:-3], 4, 4, shape[-1]))
    repeated = coarse.repeat(-(-shape[-3] // 4), axis=-3).repeat(-(-shape[-2] // 4), axis=-2)
    return repeated[..., : shape[-3], : shape[-2], :].astype(np.uint8)


def cifar_study() -> StudyRecords:
    """Give the scores of a study of CIFAR-10, both protocols and references included."""
    return StudyRecords(
        settings={"seed": 33},
        recipe_name="report",
        recipe_title="The original report, reproduced",
        recipe_description="A plain convolutional network, a random search of 3 trials, 20 epochs.",
        references=references(),
        acquire=acquire_record(CIFAR10_CLASSES),
        explore=explore_record(
            CIFAR10_CLASSES,
            (0.5583, 0.4528, 0.4801, 0.4539, 0.4570, 0.4542, 0.4369, 0.4763, 0.5202, 0.4774),
            (0.2539, 0.2726, 0.2389, 0.2561, 0.2285, 0.2516, 0.2407, 0.2551, 0.2464, 0.2733),
        ),
        tune=tune_record(),
        train=train_record(
            tuple(float(0.66 - 0.4 * 0.75**epoch) for epoch in range(20)),
            OUR_VALIDATION_ACCURACY,
        ),
        evaluate=evaluate_record(random_confusion(10, 1000, 0.68), CIFAR10_CLASSES),
        cross_validate=CrossValidateRecord(
            folds=5,
            protocols=(
                protocol_record("fresh", (0.672, 0.661, 0.668, 0.655, 0.675)),
                protocol_record("warm-start", (0.721, 0.715, 0.726, 0.731, 0.712)),
            ),
        ),
    )


def two_class_study() -> StudyRecords:
    """Give a tiny study of two classes that stopped after one epoch of training."""
    classes = ("cat", "dog")
    return StudyRecords(
        settings={"seed": 0},
        recipe_name="quick",
        recipe_title="",
        recipe_description="",
        references=(),
        acquire=acquire_record(
            classes, train_counts=(40, 12), test_counts=(10, 3), title="My pets", size_px=24
        ),
        train=train_record((0.61,), None, class_count=2),
        manifests=manifests("acquire", "train"),
        run_folder=Path("runs/my pets"),
    )


def searched_study() -> StudyRecords:
    """Give a study with a search over several models and nothing after it."""
    return dataclasses.replace(
        two_class_study(), tune=search_over_models(), manifests=manifests("acquire", "tune")
    )


def hostile_names() -> tuple[str, ...]:
    """Give 100 class names, some of them made to break pages, figures and sentences."""
    special = (
        "<script>alert('class')</script>",
        "</svg></figure><h1>Owned</h1>",
        '" onmouseover="alert(1)',
        "a class name that is much longer than thirty characters and goes on",
        "$\\frac{1}{0}$ and {braces} {{7*7}} %s",
        "line\nbreak\tand\x00control\x1b[31m",
        "\u202eright to left override",
        "猫と犬の写真",
        "Ω≈ç√∫ ünïcödé",
        "",
    )
    return (*special, *(f"species number {number:02d} of the garden" for number in range(90)))


def many_class_study() -> StudyRecords:
    """Give a study of 100 classes with hostile names, unequal counts and a left-out image."""
    classes = hostile_names()
    random = np.random.default_rng(5)
    counts = tuple(int(n) for n in random.integers(60, 500, 100))
    return StudyRecords(
        settings={"data": {"path": "<img src=x onerror=alert(1)>"}},
        recipe_name="<b>bold</b>",
        recipe_title="A title with </title><script>",
        recipe_description="",
        references=(),
        acquire=acquire_record(
            classes,
            train_counts=counts,
            test_counts=(100,) * 100,
            title="Garden & <wild>",
            left_out=tuple(
                LeftOutImage(path=f"<i>{n}</i>/broken.png", reason="truncated file")
                for n in range(30)
            ),
        ),
        explore=explore_record(
            classes,
            tuple(random.uniform(0.2, 0.8, 100).tolist()),
            tuple(random.uniform(0.1, 0.3, 100).tolist()),
        ),
        train=train_record(
            tuple(1 - 0.9 * 0.8**epoch for epoch in range(40)),
            tuple(0.6 - 0.5 * 0.8**epoch for epoch in range(40)),
            class_count=100,
            augmentation="crop-flip",
        ),
        evaluate=evaluate_record(random_confusion(100, 100, 0.6), classes),
        cross_validate=CrossValidateRecord(
            folds=2, protocols=(protocol_record("fresh", (0.58, 0.61)),)
        ),
        manifests=manifests("acquire", "explore", "train", "evaluate", "cross-validate"),
        samples=_images(100, 8, 32, 32, 3),
        sample_counts=np.array([0, 3, *[8] * 98]),
        augmented_original=_images(32, 32, 3),
        augmented_images=_images(24, 32, 32, 3),
        run_folder=Path("runs/garden"),
    )


def gray_study() -> StudyRecords:
    """Give a study of gray 8×8 digits without errors in the test."""
    classes = tuple(str(digit) for digit in range(10))
    base = cifar_study()
    return dataclasses.replace(
        base,
        references=(),
        acquire=acquire_record(
            classes,
            train_counts=(143,) * 10,
            test_counts=(36,) * 10,
            title="Digits",
            size_px=8,
            channels=1,
        ),
        explore=explore_record(classes, (0.3,) * 10, (0.37,) * 10, count=143, gray=True),
        evaluate=evaluate_record(np.eye(10, dtype=np.int64) * 36, classes),
        samples=_images(10, 10, 8, 8, 1),
        sample_counts=np.full(10, 10),
        augmented_original=_images(8, 8, 1),
        augmented_images=_images(20, 8, 8, 1),
    )
