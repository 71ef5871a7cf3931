"""The Inception network: the block's proportions, its maps, and its settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import ImageShapeError, SettingsError
from tenfold.models.inception import MODEL, Inception, InceptionBlock, InceptionSettings


def build(image_shape: tuple[int, int, int] = (32, 32, 3), **settings: Any) -> Inception:
    network = MODEL.build(
        InceptionSettings.parse(settings, where="model"),
        image_shape=image_shape,
        class_count=10,
        generator=torch.Generator().manual_seed(0),
    )
    assert isinstance(network, Inception)
    return network


def random_images(count: int, size: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, channels, size, size, generator=generator)


def test_a_block_has_the_proportions_of_googlenets_first() -> None:
    block = InceptionBlock(192, 256)  # "3a" in table 1 of arXiv 1409.4842
    kernels = {
        name: (layer.out_channels, layer.in_channels, layer.kernel_size[0])
        for name, layer in block.named_modules()
        if isinstance(layer, nn.Conv2d)
    }
    assert list(kernels.values()) == [
        (64, 192, 1),
        (96, 192, 1),
        (128, 96, 3),
        (16, 192, 1),
        (32, 16, 3),  # the two 3 × 3 of arXiv 1502.03167 for the 5 × 5
        (32, 32, 3),
        (32, 192, 1),
    ]
    features = random_images(1, 9, 192)
    assert block(features).shape == (1, 256, 9, 9)


def test_branches_see_windows_of_one_three_and_five_pixels() -> None:
    block = InceptionBlock(4, 16).eval()
    features = torch.zeros(1, 4, 11, 11)
    for branch, side in (("window_1", 1), ("window_3", 3), ("window_5", 5), ("pooled", 3)):
        touched = features.clone()
        touched[:, :, 5, 5] = 100
        layers = getattr(block, branch)
        for norm in layers.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.bias.data.fill_(50)  # nothing is rectified away
        changed = (layers(touched) != layers(features)).any(1)[0]
        rows = changed.any(1).nonzero().flatten().tolist()
        assert rows == list(range(5 - side // 2, 5 + side // 2 + 1)), branch


def test_every_convolution_is_normalised() -> None:
    network = build()
    kernels = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert [norm.num_features for norm in norms] == [kernel.out_channels for kernel in kernels]
    assert all(kernel.bias is None for kernel in kernels)


@pytest.mark.parametrize(
    ("size", "stem", "map_px"),
    [(32, "auto", 8), (96, "auto", 6), (224, "auto", 14), (64, "large", 4)],
)
def test_the_last_map_is_small_whatever_the_image(size: int, stem: str, map_px: int) -> None:
    network = build((size, size, 3), blocks=[1, 1, 1], stem=stem).eval()
    shapes: list[Any] = []
    network.pooling.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    assert network(random_images(1, size)).shape == (1, 10)
    assert shapes == [(1, 256, map_px, map_px)]


def test_blocks_and_width_are_taken() -> None:
    network = build(blocks=[1, 3, 2], width=0.5)
    blocks = [layer for layer in network.modules() if isinstance(layer, InceptionBlock)]
    assert len(blocks) == 6
    assert [
        network.stages[place][-1](random_images(1, 4, width)).shape[1]
        for place, width in enumerate((32, 64, 128))
        if place
    ] == [64, 128]
    assert network.output.in_features == 128


def test_any_width_gives_whole_shares() -> None:
    for width in (0.25, 0.3, 1.1, 3):
        assert build(width=width, blocks=[1, 1, 1]).output.in_features % 16 == 0


def test_too_small_images_are_refused_with_advice() -> None:
    with pytest.raises(ImageShapeError, match=r"too small for model inception .*4 or more"):
        build((3, 3, 1))
    with pytest.raises(ImageShapeError, match=r"model\.stem=small"):
        build((12, 12, 1), stem="large")
    assert build((4, 4, 1))


@pytest.mark.parametrize(
    "wrong", [{"blocks": [0, 1, 1]}, {"blocks": [1, 1]}, {"width": 0.1}, {"dropout": 1}], ids=str
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"model.{next(iter(wrong))}"):
        build(**wrong)
