"""Small models to export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from tenfold.models.model import ImageNetwork, NetworkPlan
from tenfold.serving.onnx_model import OnnxDescription

CLASSES = ("cat", "dög", 'a "quoted"\nname')


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.core.machine.available_cores", lambda: 1)
    monkeypatch.setattr("tenfold.core.machine.available_cores", lambda: 1)


@pytest.fixture
def build() -> Callable[..., ImageNetwork]:
    """Give a function that builds an untrained network whose outputs are not all alike."""

    def make(
        model: str = "cnn",
        settings: Mapping[str, Any] | None = None,
        shape: tuple[int, int, int] = (32, 32, 3),
    ) -> ImageNetwork:
        plan = NetworkPlan.parse(model, settings or {}, image_shape=shape, class_count=len(CLASSES))
        channels = shape[2]
        network = plan.build(
            seed=3,
            mean=torch.full((channels,), 120.0),
            standard_deviation=torch.full((channels,), 60.0),
        )
        generator = torch.Generator().manual_seed(5)
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.normal_(generator=generator)
                layer.running_var.uniform_(0.5, 2, generator=generator)
        return network.eval()

    return make


@pytest.fixture
def describe() -> Callable[..., OnnxDescription]:
    def make(shape: tuple[int, int, int] = (32, 32, 3), **changes: Any) -> OnnxDescription:
        values: dict[str, Any] = {
            "title": "Tést",
            "model": "cnn",
            "classes": CLASSES,
            "image_shape": shape,
            "temperature": 1.7,
            "versions": {"tenfold": "0"},
        }
        return OnnxDescription(**(values | changes))

    return make


@pytest.fixture
def images() -> Callable[..., np.ndarray[Any, np.dtype[np.uint8]]]:
    def make(
        count: int, shape: tuple[int, int, int] = (32, 32, 3)
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return np.random.default_rng(7).integers(0, 256, (count, *shape), np.uint8)

    return make
