"""The table of a network's layers."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from tenfold.models.fast import PatchWhitening
from tenfold.models.model import MODELS
from tenfold.models.summary import ModelSummary, summarize_layers, summarize_model
from tenfold.report.findings.training import parts_of
from tenfold.report.wording import words


def test_layers_are_listed_as_they_compute() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.Flatten(), nn.Linear(144, 2))
    table = summarize_layers(network, (8, 8, 3))
    assert [tuple(layer.model_dump().values()) for layer in table.layers] == [
        ("0", "Conv2d", (4, 6, 6), 112, 4 * 6 * 6 * 3 * 9),
        ("2", "Flatten", (144,), 0, 0),
        ("3", "Linear", (2,), 290, 144 * 2),
    ]
    assert table.multiply_adds == 4 * 6 * 6 * 3 * 9 + 144 * 2


class _Hidden(nn.Module):
    """Computes with weights that are no parameter, and between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.whitening = PatchWhitening(3, stride=2, patch_px=2)
        self.output = nn.Linear(24, 2)

    def forward(self, images: Tensor) -> Tensor:
        features = self.whitening(images).mean((2, 3))
        return self.output(features @ torch.eye(24))


def test_multiply_adds_are_counted_wherever_they_are_done() -> None:
    table = summarize_layers(_Hidden(), (8, 8, 3))
    assert [layer.multiply_adds for layer in table.layers] == [24 * 4 * 4 * 12, 24 * 2]
    assert table.multiply_adds == 24 * 4 * 4 * 12 + 24 * 2 + 24 * 24


@pytest.mark.parametrize(
    ("groups", "multiply_adds"), [(1, 8 * 4 * 9 * 36), (4, 8 * 9 * 36)], ids=str
)
def test_groups_of_a_convolution_are_counted(groups: int, multiply_adds: int) -> None:
    network = nn.Conv2d(4, 8, 3, groups=groups)
    assert summarize_layers(network, (8, 8, 4)).multiply_adds == multiply_adds


def test_the_resnet_costs_what_its_blocks_cost() -> None:
    per_convolution = 32 * 32 * 16 * 16 * 9  # the same in every group
    first, strided = 32 * 32 * 3 * 16 * 9, 2 * per_convolution // 2
    projections, output = 16 * 16 * 16 * 32 + 8 * 8 * 32 * 64, 64 * 10
    summary = summarize_model("resnet", {}, image_shape=(32, 32, 3), class_count=10)
    assert summary.multiply_adds == first + 16 * per_convolution + strided + projections + output


def test_a_summary_names_settings_and_ranges() -> None:
    summary = summarize_model("resnet", {"depth": 8}, image_shape=(16, 20, 1), class_count=3)
    assert summary.settings["depth"] == 8
    assert summary.settings["stem"] == "auto"
    assert summary.layers[-1].output_shape == (3,)
    assert "model.depth" in {dimension.name for dimension in summary.search_space}
    assert ModelSummary.model_validate_json(summary.model_dump_json()) == summary


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize("size", [32, 128])
def test_the_layers_have_all_parameters_and_each_kind_is_explained(name: str, size: int) -> None:
    summary = summarize_model(name, {}, image_shape=(size, size, 3), class_count=10)
    assert sum(layer.parameters for layer in summary.layers) == summary.parameter_count
    assert sum(layer.multiply_adds or 0 for layer in summary.layers) == summary.multiply_adds
    for layer in summary.layers:
        (part,) = parts_of([layer])
        assert words("network", "purpose", part)


def test_all_parameters_of_the_cnn_are_in_its_table() -> None:
    model = MODELS["cnn"]
    settings = model.settings_type.parse({"filters": [8, 4], "units": 6, "has_batch_norm": True})
    network = model.build(
        settings, image_shape=(16, 12, 1), class_count=5, generator=torch.Generator()
    )
    layers = summarize_layers(network, (16, 12, 1)).layers
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


def test_no_compiler_is_imported_to_count() -> None:
    """It takes seconds, after a training whose time is up."""
    code = (
        "import sys; from torch import nn; from tenfold.models.summary import summarize_layers; "
        "summarize_layers(nn.Sequential(nn.Conv2d(3, 4, 3)), (8, 8, 3)); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
