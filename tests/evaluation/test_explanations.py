from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from torch import Tensor, nn

from tenfold.core.errors import ModelFolderError
from tenfold.evaluation.explanations import (
    MOST_BYTES,
    NeighbourIndex,
    find_spatial_layer,
    heat_maps,
    images_that_fit,
    thumbnails_of,
)
from tenfold.models.model import MODELS, ImageNetwork, NetworkBody, NetworkPlan
from tenfold.training.device import Device

CPU = Device("cpu", "test", 1)


class _Layers(nn.Sequential, NetworkBody):
    """One layer after the other."""


def network_of(body: NetworkBody, channels: int = 3) -> ImageNetwork:
    return ImageNetwork(body, torch.zeros(channels), torch.full((channels,), 255.0)).eval()


class _Brightness(NetworkBody):
    """Two classes: class 0 is red anywhere, class 1 is green; nothing else counts."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 1, bias=False)
        self.activation = nn.ReLU(inplace=True)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.tensor([[1.0, -1, 0], [-1, 1, 0]]).view(2, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.activation(self.convolution(images)).mean((2, 3))


def red_and_green() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[0, :4, :4, 0] = 255
    image[0, 4:, 4:, 1] = 255
    return image


def test_the_heat_lies_where_the_class_is() -> None:
    network = network_of(_Brightness())
    layer = find_spatial_layer(network, (8, 8, 3))
    assert layer is not None
    assert layer.shape == (2, 8, 8)
    both = np.repeat(red_and_green(), 2, axis=0)
    heats = heat_maps(network, both, np.array([0, 1]), device=CPU, layer=layer)
    assert heats.dtype == np.float32
    assert (heats[0, :4, :4] == 1).all()
    assert heats[0, 4:].max() == 0
    assert (heats[1, 4:, 4:] == 1).all()
    assert heats[1, :4].max() == 0


def test_it_is_the_papers_formula() -> None:
    torch.manual_seed(1)
    body = _Layers(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 6 * 6, 3))
    network = network_of(body, 1)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
    layer = find_spatial_layer(network, (8, 8, 1))
    assert layer is not None
    assert layer.name == "1"
    heats = heat_maps(network, images, np.array([2, 0]), device=CPU, layer=layer)
    for image, chosen, heat in zip(images, (2, 0), heats, strict=True):
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        maps = body[1](body[0](network.normalized(pixels))).detach().requires_grad_()
        body[3](maps.flatten(1))[0, chosen].backward()
        assert maps.grad is not None
        raw = (maps.grad.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
        full = nn.functional.interpolate(raw, (8, 8), mode="bilinear")[0, 0].detach()
        assert full.max() > 0
        np.testing.assert_allclose(heat, full / full.max(), atol=1e-6)


def test_nothing_for_the_class_gives_no_heat() -> None:
    network = network_of(_Brightness())
    layer = find_spatial_layer(network, (8, 8, 3))
    assert layer is not None
    black = np.zeros((1, 8, 8, 3), np.uint8)
    assert not heat_maps(network, black, np.array([0]), device=CPU, layer=layer).any()
    assert heat_maps(network, black[:0], np.zeros(0, np.int64), device=CPU, layer=layer).shape == (
        0,
        8,
        8,
    )


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("shape", [(32, 32, 3), (16, 24, 1)])
def test_every_model_has_a_heat_map(name: str, shape: tuple[int, int, int]) -> None:
    plan = NetworkPlan.parse(name, {}, image_shape=shape, class_count=4)
    network = plan.build(
        seed=0, mean=torch.zeros(shape[2]), standard_deviation=torch.full((shape[2],), 255.0)
    )
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    layer = find_spatial_layer(network, shape)
    assert layer is not None
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    heats = heat_maps(network, images, np.array([0, 1, 3]), device=CPU, layer=layer)
    assert heats.shape == (3, *shape[:2])
    assert heats.min() >= 0
    assert heats.max() <= 1
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_frozen_weights_and_a_module_used_twice_do_not_matter() -> None:
    body = _Twice()
    for parameter in body.parameters():
        parameter.requires_grad_(False)
    network = network_of(body)
    layer = find_spatial_layer(network, (8, 8, 3))
    assert layer is not None
    assert (layer.name, layer.call) == ("convolution", 1)
    images = np.full((2, 8, 8, 3), 200, np.uint8)
    assert heat_maps(network, images, np.array([0, 0]), device=CPU, layer=layer).max() == 1


class _Twice(NetworkBody):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.constant_(self.convolution.weight, 0.5)

    def forward(self, images: Tensor) -> Tensor:
        return self.convolution(self.convolution(images)).mean((2, 3))


def test_the_last_map_of_4_by_4_is_taken_and_smaller_ones_only_without() -> None:
    halving = [nn.Conv2d(3, 3, 2, 2) for _ in range(3)]
    body = _Layers(*halving, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for size, name in ((32, "2"), (16, "1"), (8, "0")):
        layer = find_spatial_layer(network_of(body), (size, size, 3))
        assert layer is not None
        assert layer.name == name
    small = _Layers(nn.Conv2d(3, 3, 2, 2), nn.Flatten())
    layer = find_spatial_layer(network_of(small), (4, 4, 3))
    assert layer is not None
    assert layer.shape == (3, 2, 2)


def test_a_network_without_maps_has_none() -> None:
    body = _Layers(nn.Flatten(), nn.Linear(4 * 4 * 3, 2))
    assert find_spatial_layer(network_of(body), (4, 4, 3)) is None


def test_a_mirror_image_has_the_mirrored_heat_of_an_equivariant_network() -> None:
    plan = NetworkPlan.parse(
        "fast",
        {"widths": [8, 8, 8], "is_mirror_equivariant": True},
        image_shape=(19, 30, 3),
        class_count=3,
    )
    network = plan.build(
        seed=2, mean=torch.full((3,), 120.0), standard_deviation=torch.full((3,), 60.0)
    )
    images = np.random.default_rng(4).integers(0, 256, (6, 19, 30, 3), np.uint8)
    network.body.prepare(lambda: network.normalized(torch.from_numpy(images).permute(0, 3, 1, 2)))
    layer = find_spatial_layer(network, (19, 30, 3))
    assert layer is not None
    classes = np.arange(6) % 3
    heats = heat_maps(network, images, classes, device=CPU, layer=layer)
    mirrored = heat_maps(network, images[:, :, ::-1].copy(), classes, device=CPU, layer=layer)
    assert heats.max() == 1
    np.testing.assert_allclose(mirrored, heats[:, :, ::-1], atol=1e-4)


RNG = np.random.default_rng(0)
FEATURES = RNG.normal(5, 1, (20, 6)).astype(np.float32)
IMAGES = RNG.integers(0, 256, (20, 4, 4, 3), np.uint8)
LABELS = np.arange(20) % 3
INDEX = NeighbourIndex.build(FEATURES, IMAGES, LABELS, np.arange(20) * 10)


def test_an_image_is_its_own_nearest() -> None:
    rows, similarities = INDEX.nearest(FEATURES, 3)
    assert rows.shape == (20, 3)
    assert (rows[:, 0] == np.arange(20)).all()
    assert similarities[:, 0] == pytest.approx(1, abs=1e-3)
    assert (np.diff(similarities, axis=1) <= 0).all()


def test_similarity_is_the_cosine_after_centring() -> None:
    centred = FEATURES - FEATURES.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    rows, similarities = INDEX.nearest(FEATURES[:4], 20)
    expected = np.take_along_axis(centred[:4] @ centred.T, rows, axis=1)
    np.testing.assert_allclose(similarities, expected, atol=2e-3)  # stored as float16


def test_it_comes_back_from_its_bytes() -> None:
    read = NeighbourIndex.from_bytes(INDEX.to_bytes(), 3)
    for name in ("mean", "features", "labels", "places", "thumbnails"):
        np.testing.assert_array_equal(getattr(read, name), getattr(INDEX, name))
    assert len(read) == 20


def arrays(**changes: Any) -> bytes:
    whole = {
        name: getattr(INDEX, name)
        for name in ("mean", "features", "labels", "places", "thumbnails")
    }
    return save({name: np.ascontiguousarray(value) for name, value in (whole | changes).items()})


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": LABELS + 1},
        {"labels": LABELS - 1},
        {"labels": LABELS[:5]},
        {"places": np.zeros(20, np.float32)},
        {"thumbnails": IMAGES[:, :, :, :2]},
        {"thumbnails": IMAGES[:, :, :, 0]},
        {"mean": np.zeros(5, np.float32)},
        {"features": np.zeros(5, np.float16)},
        {"another": np.zeros(5, np.float16)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelFolderError, match="index of training images cannot be used"):
        NeighbourIndex.from_bytes(arrays(**changes), 3)


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_with_one_error(content: bytes) -> None:
    with pytest.raises(ModelFolderError, match="index of training images cannot be used"):
        NeighbourIndex.from_bytes(content, 3)


@pytest.mark.parametrize("shape", [(32, 32, 3), (224, 224, 3), (4000, 3000, 3), (8, 8, 1)])
@pytest.mark.parametrize("dimensions", [10, 2048])
def test_it_stays_small(shape: tuple[int, int, int], dimensions: int) -> None:
    count = images_that_fit(shape, dimensions, 5000)
    assert 1000 <= count <= 5000
    thumbnail = thumbnails_of(np.zeros((1, *shape), np.uint8))[0]
    assert count * (thumbnail.size + 2 * dimensions + 16) <= MOST_BYTES


def test_large_images_are_scaled_and_small_ones_kept() -> None:
    assert thumbnails_of(IMAGES) is IMAGES
    assert thumbnails_of(np.zeros((2, 100, 80, 1), np.uint8)).shape == (2, 64, 64, 1)
