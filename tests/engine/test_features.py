"""Features of any network: what its last linear layer reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tenfold.models.model import MODELS, ImageNetwork, NetworkBody, NetworkPlan
from tenfold.training.device import Device
from tenfold.training.inference import features_and_logits, predict_logits

DEVICE = Device("cpu", "test", 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), np.uint8)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_has_features(name: str) -> None:
    plan = NetworkPlan.parse(name, {}, image_shape=(16, 16, 3), class_count=4)
    network = plan.build(seed=0, mean=torch.zeros(3), standard_deviation=torch.ones(3))
    network.train()
    seen: list[int] = []
    features, logits = features_and_logits(
        network, IMAGES, device=DEVICE, batch_size=3, on_block=seen.append
    )
    assert features.shape[0] == 7
    assert features.shape[1] > 4
    np.testing.assert_allclose(
        logits, predict_logits(network, IMAGES, device=DEVICE), rtol=1e-4, atol=1e-5
    )
    assert sum(seen) == 7
    assert network.training
    assert not any(module._forward_pre_hooks for module in network.modules())


class _Two(NetworkBody):
    """A network with two linear layers; the one written first runs last."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, 2)
        self.first = nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.first(images.mean((2, 3))))


def test_the_layer_that_runs_last_counts() -> None:
    network = ImageNetwork(_Two(), torch.zeros(3), torch.ones(3))
    features, logits = features_and_logits(network, IMAGES, device=DEVICE)
    assert features.shape == (7, 5)
    with torch.no_grad():
        np.testing.assert_allclose(network.body.last(torch.from_numpy(features)), logits, rtol=1e-4)


def test_without_a_linear_layer_the_logits_serve() -> None:
    class Layers(nn.Sequential, NetworkBody):
        pass

    body = Layers(nn.Conv2d(3, 2, 16), nn.Flatten())
    network = ImageNetwork(body, torch.zeros(3), torch.ones(3))
    features, logits = features_and_logits(network, IMAGES, device=DEVICE)
    np.testing.assert_array_equal(features, logits)
