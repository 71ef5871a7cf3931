"""A network with its preprocessing inside, and the plan that builds it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.data.dataset import Images
from tenfold.models.model import (
    ImageNetwork,
    NetworkBody,
    NetworkPlan,
    as_pixels,
    fit_normalization,
)

CPU = torch.device("cpu")


class _Mirror(NetworkBody):
    """A body that gives what it is given."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def random_images(count: int, channels: int = 3) -> Images:
    return np.random.default_rng(0).integers(0, 256, (count, 10, 10, channels), np.uint8)


def normalized(images: np.ndarray, mean: Tensor, deviation: Tensor) -> Tensor:
    result: Tensor = ImageNetwork(_Mirror(), mean, deviation)(as_pixels(images, CPU))
    return result


@pytest.mark.parametrize("channels", [1, 3])
def test_scale_maps_pixels_to_zero_and_one(channels: int) -> None:
    images = np.zeros((2, 4, 4, channels), np.uint8)
    images[1] = 255
    result = normalized(images, *fit_normalization(images, "scale"))
    torch.testing.assert_close(result[0], torch.zeros(channels, 4, 4))
    torch.testing.assert_close(result[1], torch.ones(channels, 4, 4))


@pytest.mark.parametrize("channels", [1, 3])
def test_standardize_gives_mean_zero_and_deviation_one(channels: int) -> None:
    images = random_images(30, channels)
    mean, deviation = fit_normalization(images, "standardize")
    pixels = images.reshape(-1, channels).astype(np.float64)
    np.testing.assert_allclose(mean.numpy(), pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(deviation.numpy(), pixels.std(0), rtol=1e-6)
    result = normalized(images, mean, deviation).double()
    torch.testing.assert_close(
        result.mean((0, 2, 3)), torch.zeros(channels).double(), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        result.std((0, 2, 3), correction=0), torch.ones(channels).double(), rtol=1e-5, atol=0
    )


def test_a_constant_channel_becomes_zero() -> None:
    images = random_images(10)
    images[..., 1] = 77
    result = normalized(images, *fit_normalization(images, "standardize"))
    assert result.isfinite().all()
    torch.testing.assert_close(result[:, 1], torch.zeros_like(result[:, 1]), rtol=0, atol=1e-5)
    assert result[:, 0].std() > 0.9


def test_float_pixels_are_normalised_like_bytes() -> None:
    pixels = as_pixels(random_images(3), CPU)
    network = ImageNetwork(_Mirror(), torch.tensor([1.0, 2, 3]), torch.tensor([4.0, 5, 6]))
    assert torch.equal(network(pixels), network(pixels.float()))


def test_normalisation_is_stored_with_the_weights() -> None:
    first = ImageNetwork(_Mirror(), torch.tensor([9.0]), torch.tensor([2.0]))
    other = ImageNetwork(_Mirror(), torch.zeros(1), torch.ones(1))
    other.load_state_dict(first.state_dict())
    pixels = torch.full((1, 1, 2, 2), 13.0)
    assert torch.equal(other(pixels), torch.full((1, 1, 2, 2), 2.0))


def test_logits_are_float32_whatever_the_body_computes_in() -> None:
    class Half(NetworkBody):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1).bfloat16()

    network = ImageNetwork(Half(), torch.zeros(1), torch.ones(1))
    assert network(torch.zeros(1, 1, 2, 2)).dtype == torch.float32


def test_a_plan_checks_name_and_settings() -> None:
    with pytest.raises(UnknownNameError, match=r"no model named 'cnnn'\. Did you mean 'cnn'"):
        NetworkPlan.parse("cnnn", {}, image_shape=(8, 8, 3), class_count=2)
    with pytest.raises(SettingsError, match=r"no setting named 'model\.unit'"):
        NetworkPlan.parse("cnn", {"unit": 3}, image_shape=(8, 8, 3), class_count=2)


def test_weights_are_drawn_from_the_seed() -> None:
    plan = NetworkPlan.parse("cnn", {"conv_layers": 1}, image_shape=(8, 8, 3), class_count=2)
    ends = {"mean": torch.zeros(3), "standard_deviation": torch.ones(3)}
    first, same, other = (plan.build(seed=seed, **ends).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["body.output.weight"], other["body.output.weight"])
