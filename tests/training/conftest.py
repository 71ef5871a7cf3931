"""Tiny images and networks to train and to predict with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from tenfold.data.dataset import ImageSplit
from tenfold.models.model import MODELS, ImageNetwork
from tenfold.training.device import Device


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Compute on one thread: threads that wait for each other take longer than such networks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def cpu() -> Device:
    """Give the CPU."""
    return Device("cpu", "a processor", 1)


@pytest.fixture
def make_split() -> Callable[..., ImageSplit]:
    """Give a maker of images whose class is where the bright band is."""

    def make(count: int = 20, *, size: int = 10, channels: int = 3, seed: int = 0) -> ImageSplit:
        rng = np.random.default_rng(seed)
        labels = np.arange(count) % 3
        images = rng.integers(0, 120, (count, size, size, channels), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            band = size // 3
            image[label * band : (label + 1) * band] += 120
        return ImageSplit(images, labels.astype(np.int64))

    return make


@pytest.fixture
def make_network() -> Callable[..., ImageNetwork]:
    """Give a maker of small networks for the split's images, the same for the same seed."""

    def make(
        *, size: int = 10, channels: int = 3, seed: int = 0, **settings: object
    ) -> ImageNetwork:
        model = MODELS["cnn"]
        chosen = {"conv_layers": 1, "filters": [6], "units": 12, **settings}
        body = model.build(
            model.settings_type.parse(chosen),
            image_shape=(size, size, channels),
            class_count=3,
            generator=torch.Generator().manual_seed(seed),
        )
        return ImageNetwork(body, torch.full((channels,), 100.0), torch.full((channels,), 60.0))

    return make
