"""What a trained network says of images and of views of them, and the features it says it by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax
from torch import Tensor, nn

from tenfold.data.dataset import ImageSplit
from tenfold.data.store import ArrayRows, StoredImages
from tenfold.models.model import MODELS, ImageNetwork, NetworkBody, NetworkPlan, as_pixels
from tenfold.training.device import Device
from tenfold.training.inference import (
    ViewSet,
    features_and_logits,
    predict_logits,
    predict_logits_of_views,
    probabilities_from_logits,
    views,
)

MakeSplit = Callable[..., ImageSplit]
MakeNetwork = Callable[..., ImageNetwork]
DEVICE = Device("cpu", "test", 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), np.uint8)
VIEWED = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("has_batch_norm", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 22, 23, 500])
def test_logits_do_not_depend_on_the_batch_size(
    batch_size: int,
    has_batch_norm: bool,
    make_split: MakeSplit,
    make_network: MakeNetwork,
    cpu: Device,
) -> None:
    images = make_split(23).images
    network = make_network(has_batch_norm=has_batch_norm)
    expected = predict_logits(network, images, device=cpu, batch_size=10)
    logits = predict_logits(network, images, device=cpu, batch_size=batch_size)
    assert logits.shape == (23, 3)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_views_of_one_column_turned_round_are_taken() -> None:
    """NumPy calls them contiguous, strides below zero and all; torch does not."""
    images = np.arange(24, dtype=np.uint8).reshape(2, 4, 1, 3)
    turned = as_pixels(images[:, :, ::-1], torch.device("cpu"))
    assert torch.equal(turned, as_pixels(images, torch.device("cpu")))


def test_a_memory_map_for_reading_gives_the_same_without_a_warning(
    make_split: MakeSplit, make_network: MakeNetwork, cpu: Device, tmp_path: Path
) -> None:
    images = make_split(9).images
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    network = make_network()
    np.testing.assert_array_equal(
        predict_logits(network, mapped, device=cpu, batch_size=4),
        predict_logits(network, images, device=cpu, batch_size=4),
    )


@pytest.mark.parametrize("chosen", ["none", "mirror-shift"])
def test_stored_images_give_the_same(
    chosen: ViewSet, make_split: MakeSplit, make_network: MakeNetwork, cpu: Device
) -> None:
    images = make_split(9).images
    assert isinstance(images, np.ndarray)
    network = make_network()
    expected, found = (
        predict_logits_of_views(
            network,
            given,
            chosen,
            mirror_keeps_class=True,
            device=cpu,
            precision=torch.float32,
        )
        for given in (images, StoredImages.of(ArrayRows(images)))
    )
    np.testing.assert_array_equal(found, expected)


def test_views_of_any_stride_are_taken(
    make_split: MakeSplit, make_network: MakeNetwork, cpu: Device
) -> None:
    images = make_split(8).images[::2, :, ::-1]
    network = make_network()
    np.testing.assert_array_equal(
        predict_logits(network, images, device=cpu),
        predict_logits(network, images.copy(), device=cpu),
    )


@pytest.mark.parametrize("is_training", [True, False])
def test_prediction_draws_nothing_and_leaves_the_mode(
    is_training: bool, make_split: MakeSplit, make_network: MakeNetwork, cpu: Device
) -> None:
    network = make_network(conv_dropout=0.5, has_batch_norm=True).train(is_training)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images = make_split(6).images
    first = predict_logits(network, images, device=cpu)
    np.testing.assert_array_equal(predict_logits(network, images, device=cpu), first)
    assert network.training is is_training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_bfloat16_is_near_float32_and_gives_float32(
    make_split: MakeSplit, make_network: MakeNetwork, cpu: Device
) -> None:
    images, network = make_split(6).images, make_network()
    exact = predict_logits(network, images, device=cpu)
    rough = predict_logits(network, images, device=cpu, precision=torch.bfloat16)
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, exact)
    np.testing.assert_allclose(rough, exact, atol=0.1)


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(-(2.0**99), 2.0**99, width=32),
    )
)
def test_probabilities_are_scipys_softmax(logits: np.ndarray) -> None:
    probabilities = probabilities_from_logits(logits)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, softmax(logits.astype(np.float64), axis=1), atol=1e-7)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


def test_huge_logits_do_not_overflow() -> None:
    logits = np.array([[3e38, 3e38, -3e38]], np.float32)
    np.testing.assert_array_equal(probabilities_from_logits(logits), [[0.5, 0.5, 0]])


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


class _Corner(NetworkBody):
    """Says what the upper left pixel is."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :2, 0, 0]


@pytest.fixture
def corner() -> ImageNetwork:
    return ImageNetwork(_Corner(), torch.zeros(3), torch.ones(3))


@pytest.mark.parametrize(
    ("chosen", "mirrors", "count"),
    [
        ("none", True, 1),
        ("mirror", True, 2),
        ("mirror", False, 1),
        ("mirror-shift", True, 6),
        ("mirror-shift", False, 3),
    ],
)
def test_weights_sum_to_one_and_views_have_the_images_shape(
    chosen: ViewSet, mirrors: bool, count: int
) -> None:
    found = views(VIEWED, chosen, mirror_keeps_class=mirrors)
    assert len(found) == count
    assert sum(weight for weight, _ in found) == pytest.approx(1)
    assert all(view.shape == VIEWED.shape for _, view in found)
    np.testing.assert_array_equal(found[0][1], VIEWED)


def test_moved_views_are_the_images_moved_along_the_diagonal() -> None:
    (_, _), (_, down), (_, up) = views(VIEWED, "mirror-shift", mirror_keeps_class=False)
    np.testing.assert_array_equal(down[:, 1:, 1:], VIEWED[:, :-1, :-1])
    np.testing.assert_array_equal(up[:, :-1, :-1], VIEWED[:, 1:, 1:])


def test_logits_are_the_mean_over_the_views(corner: ImageNetwork) -> None:
    options = {"device": DEVICE, "precision": torch.float32}
    ours = predict_logits_of_views(corner, VIEWED, "mirror", mirror_keeps_class=True, **options)
    left, right = VIEWED[:, 0, 0, :2].astype(float), VIEWED[:, 0, -1, :2].astype(float)
    np.testing.assert_allclose(ours, (left + right) / 2, rtol=1e-5)
    plain = predict_logits_of_views(corner, VIEWED, "none", mirror_keeps_class=True, **options)
    np.testing.assert_array_equal(plain, predict_logits(corner, VIEWED, **options))


def test_images_of_one_pixel_are_not_moved() -> None:
    one = VIEWED[:, :1, :1]
    assert all(
        view.shape == one.shape for _, view in views(one, "mirror-shift", mirror_keeps_class=True)
    )
