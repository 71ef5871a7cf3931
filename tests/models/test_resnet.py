"""The residual network: the papers' sizes, its stems, and what its settings do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tenfold.core.errors import ImageShapeError, SettingsError
from tenfold.models.layers import Dropout
from tenfold.models.resnet import MODEL, ResidualBlock, Resnet, ResnetSettings


def build(image_shape: tuple[int, int, int] = (32, 32, 3), **settings: Any) -> Resnet:
    network = MODEL.build(
        ResnetSettings.parse(settings, where="model"),
        image_shape=image_shape,
        class_count=10,
        generator=torch.Generator().manual_seed(0),
    )
    assert isinstance(network, Resnet)
    return network


def random_images(count: int, size: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, channels, size, size, generator=generator)


@pytest.mark.parametrize(
    ("depth", "millions"),  # arXiv 1512.03385, table 6; the paper's shortcuts have no parameters
    [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)],
)
def test_it_has_as_many_parameters_as_the_paper_says(depth: int, millions: float) -> None:
    network = build(depth=depth)
    own = sum(parameter.numel() for parameter in network.parameters())
    projections = sum(
        parameter.numel()
        for block in network.modules()
        if isinstance(block, ResidualBlock)
        for parameter in block.shortcut.parameters()
    )
    assert projections == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert (own - projections) / 1e6 == pytest.approx(millions, abs=0.05 if depth == 110 else 0.01)


@pytest.mark.parametrize(
    ("wide_depth", "width", "millions"),  # arXiv 1605.07146, tables 3 and 4
    [(16, 8, 11.0), (22, 8, 17.2), (40, 4, 8.9)],
)
def test_the_wide_networks_are_those_of_their_paper(
    wide_depth: int, width: int, millions: float
) -> None:
    network = build(depth=wide_depth - 2, width=width)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.06)  # the paper cuts digits off


@pytest.mark.parametrize("depth", [8, 20, 32])
def test_depth_is_the_number_of_layers_with_weights(depth: int) -> None:
    network = build(depth=depth)
    layers = [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]
    assert len(layers) == depth


def test_a_depth_between_is_refused_with_the_near_ones() -> None:
    with pytest.raises(SettingsError, match=r"6n \+ 2.*: 14 or 20 instead of 18"):
        build(depth=18)


def test_kernels_begin_as_he_et_al_draw_them() -> None:
    kernel = build(width=4).groups[2][1].second.weight
    assert kernel.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)
    assert abs(kernel.mean().item()) < 1e-3


class TestStem:
    @pytest.mark.parametrize(
        ("size", "stem", "map_px"),
        [(32, "auto", 32), (95, "auto", 95), (96, "auto", 24), (32, "large", 8), (96, "small", 96)],
    )
    def test_is_chosen_by_size_or_by_name(self, size: int, stem: str, map_px: int) -> None:
        network = build((size, size, 3), depth=8, stem=stem).eval()
        assert network.stem(random_images(1, size)).shape == (1, 16, map_px, map_px)

    def test_the_shorter_side_counts(self) -> None:
        assert build((95, 224, 3), depth=8).stem.convolution.kernel_size == (3, 3)

    def test_large_images_reach_the_output_on_maps_of_a_sixteenth(self) -> None:
        network = build((224, 224, 3), depth=8).eval()
        shapes: list[Any] = []
        network.pooling.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
        assert network(random_images(1, 224)).shape == (1, 10)
        assert shapes == [(1, 64, 14, 14)]


class TestTooSmallImages:
    def test_are_refused_with_advice(self) -> None:
        with pytest.raises(ImageShapeError) as caught:
            build((3, 40, 1))
        assert str(caught.value) == (
            "Images of 3×40 pixels are too small for model resnet with its small stem, which "
            "shrinks them 4 times: height and width must be 4 or more. Use larger images "
            "(data.image_size_px), or another model (model.name)."
        )
        assert build((4, 4, 1))

    def test_are_told_of_the_small_stem(self) -> None:
        with pytest.raises(ImageShapeError, match=r"16 or more\. .*model\.stem=small"):
            build((15, 15, 1), stem="large")
        assert build((16, 16, 1), stem="large")


class TestZeroLastScale:
    def test_lets_a_block_pass_its_input_on_at_first(self) -> None:
        block = build(has_zero_last_scale=True).groups[0][0]
        features = random_images(2, 8, 16).relu()
        assert torch.equal(block(features), features)
        other = build().groups[0][0]
        assert not torch.equal(other(features), features)

    def test_still_trains_everything(self) -> None:
        network = build((16, 16, 3), depth=8, has_zero_last_scale=True).train()
        before = {name: value.detach().clone() for name, value in network.named_parameters()}
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        for _ in range(2):  # the first step moves the scales, the second what is before them
            optimizer.zero_grad()
            logits = network(random_images(8, 16))
            functional.cross_entropy(logits, torch.arange(8)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        for name, value in network.named_parameters():
            assert not torch.equal(before[name], value), name


def test_dropout_lies_between_the_convolutions_of_every_block() -> None:
    network = build(depth=8, dropout=0.3).train()
    layers = [layer for layer in network.modules() if isinstance(layer, Dropout)]
    assert [layer.rate for layer in layers] == [0.3] * 3
    images = random_images(2, 16)
    assert not torch.equal(network(images), network(images))
    assert not [layer for layer in build().modules() if isinstance(layer, Dropout)]


def test_other_sizes_than_it_was_built_for_are_taken() -> None:
    network = build(depth=8).eval()
    for size in (8, 20, 48):
        assert network(random_images(2, size)).shape == (2, 10)


@pytest.mark.parametrize(
    "wrong", [{"depth": 2}, {"width": 0}, {"stem": "big"}, {"dropout": 1.0}], ids=str
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"model.{next(iter(wrong))}"):
        build(**wrong)
