"""Robustness: what is counted, and its interval."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.data.corruptions import CORRUPTIONS
from tenfold.data.dataset import Images, ImageSplit
from tenfold.evaluation.robustness import measure_robustness, passes


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
