"""EfficientNet-Lite's blocks: padding, folded batch norm, sizes, and published names."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tenfold.models.efficientnet_lite import LITE_SIZES, ConvNorm, EfficientNetLite, published_names


def fresh(*arguments: int, **others: int) -> ConvNorm:
    generator = torch.Generator().manual_seed(3)
    layer = ConvNorm(*arguments, **others)
    for parameter in (layer.weight, layer.norm_weight, layer.norm_bias):
        torch.nn.init.normal_(parameter, generator=generator)
    layer.running_mean.normal_(generator=generator)
    layer.running_variance.uniform_(0.5, 2, generator=generator)
    return layer


def test_folding_gives_what_batch_norm_gives() -> None:
    layer = fresh(3, 5, 3).eval()
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    unfolded = functional.batch_norm(
        functional.conv2d(images, layer.weight, padding=1),
        layer.running_mean,
        layer.running_variance,
        layer.norm_weight,
        layer.norm_bias,
        eps=1e-3,
    )
    torch.testing.assert_close(layer(images), unfolded, rtol=1e-4, atol=1e-5)


def test_a_stride_pads_to_the_right_and_bottom_first() -> None:
    # TensorFlow's SAME of an even size with a 3 × 3 kernel and stride 2: nothing before, 1 after.
    layer = ConvNorm(1, 1, 3, stride=2).eval()
    torch.nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] = 1
    images = torch.arange(16.0).view(1, 1, 4, 4)
    picked = layer(images) * (1 + 1e-3) ** 0.5
    torch.testing.assert_close(picked, images[:, :, ::2, ::2])
    assert layer(torch.zeros(1, 1, 7, 5)).shape == (1, 1, 4, 3)


def test_training_moves_the_statistics_unless_they_are_kept() -> None:
    images = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    layer = fresh(3, 5).train()
    before = layer.running_mean.clone()
    layer.keeps_statistics = True
    kept = layer(images)
    assert torch.equal(layer.running_mean, before)
    torch.testing.assert_close(kept, layer.eval()(images))
    layer.keeps_statistics = False
    moved = layer.train()(images)
    assert not torch.equal(layer.running_mean, before)
    assert not torch.allclose(moved, kept)


def test_one_value_a_channel_is_normalised_by_the_running_statistics() -> None:
    layer = fresh(3, 5).train()
    image = torch.ones(1, 3, 1, 1)
    torch.testing.assert_close(layer(image), layer.eval()(image))


@pytest.mark.parametrize(
    ("name", "depths", "millions"),
    # Parameters as published (lite/README.md: 4.7, 5.4, 6.1 million), less the classes' layer.
    [
        ("efficientnet-lite0", [1, 2, 2, 3, 3, 4, 1], 4.652 - 1.281),
        ("efficientnet-lite1", [1, 3, 3, 4, 4, 5, 1], 5.417 - 1.281),
        ("efficientnet-lite2", [1, 3, 3, 4, 4, 5, 1], 6.092 - 1.281),
    ],
)
def test_sizes_are_the_published_ones(name: str, depths: list[int], millions: float) -> None:
    network = EfficientNetLite(LITE_SIZES[name])
    assert network.stage_depths == depths
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=5e-4)


def test_maps_have_the_channels_that_it_says() -> None:
    network = EfficientNetLite(LITE_SIZES["efficientnet-lite2"]).eval()
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    maps = network(torch.zeros(1, 3, 64, 48))
    assert [features.shape[1] for features in maps] == network.map_channels
    assert maps[0].shape[2:] == (32, 24)
    assert maps[-1].shape[2:] == (2, 2)


def test_every_tensor_of_the_network_has_a_published_name() -> None:
    for size in LITE_SIZES.values():
        network = EfficientNetLite(size)
        names = published_names(network.stage_depths)
        assert sorted(names.values()) == sorted(network.state_dict())
