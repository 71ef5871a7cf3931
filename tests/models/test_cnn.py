"""The report's network: its size, its initial weights, and the order of its operations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tenfold.core.errors import ImageShapeError, SettingsError
from tenfold.models.cnn import ChannelBias, CnnSettings
from tenfold.models.model import MODELS


def build(image_shape: tuple[int, int, int] = (12, 12, 3), **settings: Any) -> nn.Module:
    return MODELS["cnn"].build(
        CnnSettings.parse(settings),
        image_shape=image_shape,
        class_count=10,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"conv_layers": 1, "filters": (32,), "units": 128}, 923_914),  # the report's baseline
        ({"conv_layers": 2, "filters": (64, 32), "units": 128}, 169_130),  # its tuned network
    ],
)
def test_it_has_as_many_parameters_as_the_report_says(
    settings: dict[str, Any], parameters: int
) -> None:
    network = build((32, 32, 3), **settings)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_defaults_are_the_tuned_network() -> None:
    network = build((32, 32, 3))
    assert sum(parameter.numel() for parameter in network.parameters()) == 169_130


def test_weights_begin_as_keras_draws_them() -> None:
    network = build((32, 32, 3))
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1:
            assert parameter.count_nonzero() == 0, name  # biases
            continue
        outputs, inputs, *window = parameter.shape
        fans = math.prod(window) * (inputs + outputs)
        limit = math.sqrt(6 / fans)  # Glorot and Bengio 2010, equation 16
        assert 0.98 * limit < parameter.abs().max() <= limit, name
        assert parameter.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.05), name
        assert parameter.mean().abs().item() < 0.05 * limit, name


@pytest.mark.parametrize("has_batch_norm", [False, True])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", [12, 15, 18])  # pooling drops the last row of an odd map
def test_outputs_and_gradients_are_those_of_keras_order(
    size: int, padding: str, has_batch_norm: bool
) -> None:
    network = build(
        (size, size, 3),
        conv_layers=2,
        filters=(8, 6),
        units=9,
        padding=padding,
        has_batch_norm=has_batch_norm,
        conv_dropout=0,
        dense_dropout=0,
    ).train()
    images = 10 * torch.randn(5, 3, size, size, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(5)

    functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
    ours = [parameter.grad for parameter in network.parameters()]
    logits = network(images)
    network.zero_grad()
    expected = _keras_order(network, images)
    functional.cross_entropy(expected, labels).backward()  # type: ignore[no-untyped-call]

    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    for our, parameter in zip(ours, network.parameters(), strict=True):
        torch.testing.assert_close(our, parameter.grad, rtol=1e-4, atol=1e-5)


def _keras_order(network: nn.Module, images: Tensor) -> Tensor:
    """Compute as Keras would: convolution with bias, norm, ReLU, and only then pooling."""
    *parts, hidden, output = (
        layer
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | ChannelBias | nn.BatchNorm2d | nn.Linear)
    )
    features = images
    for place, part in enumerate(parts):
        features = part(features)
        if place + 1 == len(parts) or isinstance(parts[place + 1], nn.Conv2d):
            features = functional.max_pool2d(functional.relu(features), 2)
    logits: Tensor = output(functional.relu(hidden(features.flatten(1))))
    return logits


def test_dropout_is_drawn_after_every_block_and_the_hidden_layer() -> None:
    images = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    for settings in ({"conv_dropout": 0.5, "dense_dropout": 0}, {"conv_dropout": 0}):
        network = build(conv_layers=1, **settings).train()
        assert not torch.equal(network(images), network(images))
    still = build(conv_layers=1, conv_dropout=0, dense_dropout=0).train()
    assert torch.equal(still(images), still(images))


def test_too_small_images_are_refused_with_advice() -> None:
    with pytest.raises(ImageShapeError) as caught:
        build((8, 8, 1))
    assert str(caught.value) == (
        "Images of 8×8 pixels are too small for 2 convolution layers with padding 'valid': nothing "
        "is left after layer 2. Use fewer (model.conv_layers), model.padding=same, or larger "
        "images (data.image_size_px)."
    )
    assert build((8, 8, 1), padding="same")
    assert build((10, 10, 1))  # the smallest that is large enough


def test_every_layer_needs_its_filters() -> None:
    with pytest.raises(SettingsError, match="conv_layers is 3 but filters names 2 layers"):
        CnnSettings.parse({"conv_layers": 3, "filters": (8, 8)})


@pytest.mark.parametrize(
    "wrong",
    [{"conv_layers": 0}, {"filters": (0, 1)}, {"conv_dropout": 1.0}, {"padding": "full"}],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"model.{next(iter(wrong))}"):
        CnnSettings.parse(wrong, where="model")


def test_an_unknown_setting_suggests_the_near_one() -> None:
    with pytest.raises(SettingsError, match=r"Did you mean 'model\.conv_layers'"):
        CnnSettings.parse({"conv_layer": 2}, where="model")
