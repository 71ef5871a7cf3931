"""The table of a network's layers."""

from __future__ import annotations

import torch
from torch import nn

from tenfold.core.records.train import LayerRecord
from tenfold.models.model import MODELS
from tenfold.models.summary import summarize_layers


def test_layers_are_listed_as_they_compute() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.Flatten(), nn.Linear(144, 2))
    assert summarize_layers(network, (8, 8, 3)) == (
        LayerRecord(name="0", kind="Conv2d", output_shape=(4, 6, 6), parameters=112),
        LayerRecord(name="2", kind="Flatten", output_shape=(144,), parameters=0),
        LayerRecord(name="3", kind="Linear", output_shape=(2,), parameters=290),
    )


def test_all_parameters_of_the_cnn_are_in_its_table() -> None:
    model = MODELS["cnn"]
    settings = model.settings_type.parse({"filters": [8, 4], "units": 6, "has_batch_norm": True})
    network = model.build(
        settings, image_shape=(16, 12, 1), class_count=5, generator=torch.Generator()
    )
    layers = summarize_layers(network, (16, 12, 1))
    total = sum(parameter.numel() for parameter in network.parameters())
    assert sum(layer.parameters for layer in layers) == total
    assert layers[-1].kind == "Linear"
    assert layers[-1].output_shape == (5,)


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for is_training in (True, False):
        network.train(is_training)
        summarize_layers(network, (6, 6, 1))
        assert all(layer.training == is_training for layer in network.modules())
        assert not any(layer._forward_hooks for layer in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
