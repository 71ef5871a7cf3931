from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tenfold.core.errors import DataError, SettingsError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.digits import SOURCE
from tenfold.data.sources.source import SourceOptions


def _load(**options: object) -> ImageDataset:
    return SOURCE.load(None, SourceOptions(**options), SilentProgress())  # type: ignore[arg-type]


def test_brightness_uses_the_whole_range_and_every_image_is_there_once() -> None:
    dataset = _load()
    images = np.concatenate([dataset.train.images, dataset.test.images])
    assert images.shape == (1797, 8, 8, 1)
    expected = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    assert sorted(image.tobytes() for image in images) == sorted(
        image.tobytes() for image in expected
    )
    assert (images.min(), images.max()) == (0, 255)


def test_a_fifth_of_each_class_is_set_aside() -> None:
    dataset = _load()
    for train, test in zip(dataset.train.counts(10), dataset.test.counts(10), strict=True):
        assert test == round(0.2 * (train + test))


def test_the_seed_fixes_the_split_and_its_order() -> None:
    first, same, other = _load(seed=1), _load(seed=1), _load(seed=2)
    assert first.train.sha256() == same.train.sha256()
    assert first.train.sha256() != other.train.sha256()
    assert np.any(np.diff(first.train.labels) < 0)


def test_images_can_be_resized() -> None:
    dataset = _load(image_size_px=16)
    assert dataset.train.images.shape[1:] == (16, 16, 1)
    assert dataset.resized == 1797
    assert _load(image_size_px=8).resized == 0


def test_wrong_options_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"test_fraction is 1\.5"):
        _load(test_fraction=1.5)
    with pytest.raises(SettingsError, match="image_size_px is 0"):
        _load(image_size_px=0)
    with pytest.raises(DataError, match="come with scikit-learn"):
        SOURCE.load(Path("x"), SourceOptions(), SilentProgress())
