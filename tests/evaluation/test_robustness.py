"""Robustness: what is counted, and its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from builders.training import train_record
from tenfold.core.records.training import ProbeRecord
from tenfold.data.corruptions import CORRUPTIONS
from tenfold.data.dataset import Images, ImageSplit
from tenfold.evaluation.robustness import (
    images_in_proportion,
    measure_robustness,
    passes,
    training_passes,
)


def by_brightness(images: Images) -> np.ndarray:
    """Call an image light if its mean is above the middle."""
    return (images.mean(axis=(1, 2, 3)) > 127.5).astype(np.int64)


@pytest.fixture(scope="module")
def split() -> ImageSplit:
    """Give images whose class is their brightness; half of them are close to the middle."""
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 2
    means = np.where(labels == 1, 150, 105) + np.where(np.arange(40) < 20, 60, 0) * (2 * labels - 1)
    noise = generator.integers(-10, 11, (40, 8, 8, 3))
    return ImageSplit((means[:, None, None, None] + noise).astype(np.uint8), labels)


def test_only_brightness_disturbs_a_model_of_brightness(split: ImageSplit) -> None:
    record = measure_robustness(by_brightness, split, seed=0)
    assert (record.count, record.accuracy) == (40, 1.0)
    falls = {scores.name: scores for scores in record.corruptions}
    assert set(falls) == {corruption.name for corruption in CORRUPTIONS}
    brightness = falls.pop("brightness")
    assert brightness.accuracies[0] == 1
    assert brightness.accuracies[-1] < 0.9
    assert list(brightness.accuracies) == sorted(brightness.accuracies, reverse=True)
    assert brightness.fall == pytest.approx(1 - np.mean(brightness.accuracies))
    assert brightness.fall_interval.holds(brightness.fall)
    assert brightness.fall_interval.low > 0
    assert all(scores.fall == 0 for scores in falls.values())


def test_every_pass_is_told(split: ImageSplit) -> None:
    told = []

    class Listener:
        def advance(self, units: float = 1.0, *, detail: str = "") -> None:
            told.append(detail)

    measure_robustness(by_brightness, split, seed=0, task=Listener())
    assert len(told) == passes() == 30


def probe(**changes: Any) -> ProbeRecord:
    values: dict[str, Any] = {
        "feature_count": 2024,
        "is_mirrored": True,
        "penalty": 0.03,
        "tried": (),
        "judged_by": "",
        "fine_tune_epochs": 0,
        "feature_seconds": 1,
        "fit_seconds": 1,
    }
    return ProbeRecord(**values | changes)


def test_training_is_counted_in_images_through_the_network() -> None:
    train = train_record((0.3, 0.4), validation_accuracies=(0.3, 0.4), validation_count=5000)
    assert training_passes(train) == 2 * (3 * 45000 + 5000)
    head = train.model_copy(update={"epochs": 1, "probe": probe()})
    assert training_passes(head) == 2 * 45000 + 5000
    tuned = head.model_copy(update={"epochs": 3, "probe": probe(fine_tune_epochs=2)})
    assert training_passes(tuned) == 2 * 45000 + 5000 + 2 * (3 * 45000 + 5000)


def test_disturbed_images_are_in_proportion_to_the_training_but_not_few_of_small_networks() -> None:
    large = {"multiply_adds": 200_000_000, "validation_count": 0}
    heads = [
        train_record((0.4,), None).model_copy(
            update={"probe": probe(), "train_count": count, **large}
        )
        for count in (100, 3000, 30_000, 300_000)
    ]
    counts = [images_in_proportion(head) for head in heads]
    assert counts[0] == counts[1] == 500_000_000_000 // 200_000_000 // passes()
    assert counts[1] < counts[2] < counts[3]
    assert counts[3] * passes() <= 2 * 300_000 / 3
    assert images_in_proportion(train_record((0.4,), None)) > 2000
    small = heads[0].model_copy(update={"multiply_adds": 100_000})
    assert images_in_proportion(small) > 100_000
