"""Statistics and sample images of the training split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.records.data import ExploreRecord
from tenfold.data.dataset import read_arrays, read_split
from tenfold.study.recipe import load_recipe
from tenfold.study.stages.explore import shown_policy

RunStage = Callable[..., Path]


def test_measures_the_training_images(run_stage: RunStage) -> None:
    folder = run_stage("explore")
    record = ExploreRecord.read(folder / "record.json")
    train = read_split(folder.parent / "acquire", "train")
    assert record.channel_names == ("gray",)
    assert record.channel_means == pytest.approx([train.images[:].mean() / 255])
    for label, found in enumerate(record.classes):
        pixels = train.images[train.labels == label] / 255
        assert found.count == len(pixels)
        assert found.mean == pytest.approx(pixels.mean())
        assert found.standard_deviation == pytest.approx(pixels.std())


def test_draws_different_images_of_the_right_class(run_stage: RunStage) -> None:
    folder = run_stage("explore", {"explore.samples_per_class": 12})
    samples = read_arrays(folder / "samples.npz")
    train = read_split(folder.parent / "acquire", "train")
    assert samples["images"].shape == (3, 12, 8, 8, 1)
    for label in range(3):
        of_class = {image.tobytes() for image in train.images[train.labels == label]}
        assert samples["counts"][label] == len(of_class)  # fewer than were asked for
        drawn = samples["images"][label]
        assert {image.tobytes() for image in drawn[: len(of_class)]} == of_class
        assert not drawn[len(of_class) :].any()


def test_shows_one_training_image_under_the_policy(run_stage: RunStage) -> None:
    folder = run_stage(
        "explore", {"explore.augmented_samples": 5, "training.augmentation": "report"}
    )
    arrays = read_arrays(folder / "augmented.npz")
    train = read_split(folder.parent / "acquire", "train")
    assert arrays["images"].shape == (5, 8, 8, 1)
    assert any(np.array_equal(arrays["original"], image) for image in train.images)
    assert len(np.unique(arrays["images"].reshape(5, -1), axis=0)) == 5
    assert ExploreRecord.read(folder / "record.json").augmentation == "report"


def test_the_policy_shown_is_the_one_in_use() -> None:
    assert shown_policy(load_recipe("fast")) == "crop-flip"
    assert shown_policy(load_recipe("report")) == "report"  # of its warm-start folds
    assert shown_policy(load_recipe("fast", ["training.augmentation=none"])) == "none"


@pytest.mark.parametrize("name", ["strong", "none+cutmix", "mixup+cutmix"])
def test_a_composed_augmentation_is_shown(run_stage: RunStage, name: str) -> None:
    folder = run_stage("explore", {"training.augmentation": name})
    record = ExploreRecord.read(folder / "record.json")
    assert record.augmentation == name
    with np.load(folder / "augmented.npz") as arrays:
        images = arrays["images"]
        assert images.dtype == np.uint8
        assert len({image.tobytes() for image in images}) > 1
