"""The pretrained network: its images, its features, its rates; with weights that are not there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tenfold.models.model import FrozenFeatures, ImageNetwork
from tenfold.models.pretrained import (
    MODEL,
    PretrainedNetwork,
    PretrainedSettings,
    channel_mixing,
    layer_of,
)
from tenfold.training.device import Device
from tenfold.training.inference import predict_logits


def build(image_shape: tuple[int, int, int] = (16, 16, 3), **settings: Any) -> PretrainedNetwork:
    network = MODEL.build(
        PretrainedSettings.parse({"input_size_px": 32, **settings}),
        image_shape=image_shape,
        class_count=4,
        generator=torch.Generator().manual_seed(0),
    )
    assert isinstance(network, PretrainedNetwork)
    return network


def images(count: int, height: int = 16, width: int = 16, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, channels, height, width, generator=generator)


def test_it_offers_frozen_features() -> None:
    network = build()
    assert isinstance(network, FrozenFeatures)
    assert network.features(images(2)).shape == (2, network.head.in_features)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_any_number_of_channels_is_mixed_into_three(channels: int) -> None:
    mixing = channel_mixing(channels)
    assert mixing.shape == (3, channels)
    torch.testing.assert_close(mixing.sum(1), torch.ones(3))  # gray stays gray
    assert (mixing.sum(0) > 0).all()  # no channel is thrown away
    network = build((16, 20, channels)).eval()
    assert network(images(2, 16, 20, channels)).shape == (2, 4)
    assert len(network.own_normalization[0]) == channels


def test_colour_images_are_taken_as_they_are() -> None:
    assert torch.equal(channel_mixing(3), torch.eye(3))


def test_gray_is_the_same_as_gray_in_colour() -> None:
    gray = images(3, channels=1)
    torch.testing.assert_close(
        build((16, 16, 1)).eval()(gray), build().eval()(gray.expand(-1, 3, -1, -1))
    )


def test_pixels_are_normalised_as_the_weights_expect() -> None:
    mean, deviation = build().own_normalization
    assert mean.tolist() == [127] * 3
    assert deviation.tolist() == [128] * 3


def test_images_are_resized_inside() -> None:
    network = build().eval()
    small = images(2)
    large = functional.interpolate(small, size=(32, 32), mode="bicubic", align_corners=False)
    torch.testing.assert_close(network(small), network(large))


@pytest.mark.parametrize("size", [(48, 64), (20, 90)], ids=str)
def test_shrinking_by_matrices_is_antialiased_interpolation(size: tuple[int, int]) -> None:
    network = build((*size, 3)).eval()
    large = images(2, *size)
    small = functional.interpolate(
        large, size=(32, 32), mode="bicubic", antialias=True, align_corners=False
    )
    torch.testing.assert_close(network(large), network(small), rtol=1e-4, atol=1e-4)
    other = build().eval()  # built for other images: it resizes as it goes
    torch.testing.assert_close(other(large), network(large), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_blocks_of_images_give_what_all_at_once_give() -> None:
    network = build().eval()
    many = images(70)
    with torch.enable_grad():
        whole = network(many)
    torch.testing.assert_close(network(many), whole, rtol=1e-4, atol=1e-5)


def test_a_network_that_predicted_can_be_explained_and_trained() -> None:
    network = ImageNetwork(build(), torch.zeros(3), torch.ones(3))
    pixels = np.zeros((2, 16, 16, 3), np.uint8)
    predict_logits(network, pixels, device=Device("cpu", "the test's processor", 1))
    assert not any(parameter.is_inference() for parameter in network.parameters())
    network(torch.zeros(1, 3, 16, 16)).sum().backward()


def test_further_maps_are_further_features() -> None:
    assert build(pooled_maps=2).head.in_features == build(pooled_maps=1).head.in_features + 320


def test_lower_layers_learn_slower() -> None:
    network = build(layer_decay=0.5)
    factors = network.learning_rate_factors()
    assert sorted(factors) == sorted(name for name, _ in network.named_parameters())
    assert factors["head.weight"] == 1
    assert factors["backbone.network.head.weight"] == 0.5
    assert factors["backbone.network.stages.6.0.project.norm_bias"] == 0.25
    assert factors["backbone.network.stem.weight"] == 0.5**9


def test_statistics_are_kept_as_the_settings_say() -> None:
    for keeps in (True, False):
        network = build(keeps_statistics=keeps).train()
        before = network.state_dict()["backbone.network.stem.running_mean"].clone()
        network(images(4))
        after = network.state_dict()["backbone.network.stem.running_mean"]
        assert torch.equal(before, after) is keeps


def test_the_key_tells_settings_apart() -> None:
    keys = {
        build().features_key(),
        build(input_size_px=48).features_key(),
        build(pooled_maps=2).features_key(),
    }
    assert len(keys) == 3
    assert build().features_key() in keys


def test_a_layer_is_the_name_up_to_its_number() -> None:
    assert layer_of("network.stages.3.1.project.weight") == "network.stages.3"
    assert layer_of("network.stem.weight") == "network.stem"
