"""The fast network's own parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tenfold.models.fast import MODEL, FastNetwork, FastSettings, PatchWhitening


def build(shape: tuple[int, int, int] = (32, 32, 3), **settings: object) -> FastNetwork:
    network = MODEL.build(
        FastSettings.parse(settings),
        image_shape=shape,
        class_count=10,
        generator=torch.Generator().manual_seed(0),
    )
    assert isinstance(network, FastNetwork)
    return network


def correlated_images(count: int = 64) -> Tensor:
    """Give images whose neighbouring pixels and channels resemble each other, as photographs'."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, 3, 34, 34, generator=generator)
    smooth = nn.functional.avg_pool2d(noise, 3, stride=1)
    return smooth + 0.5 * smooth.mean(1, keepdim=True)


def test_whitened_patches_have_unit_variance_and_no_correlation() -> None:
    whitening = PatchWhitening(3, stride=1, patch_px=2)
    images = correlated_images()
    whitening.fit(images)
    values = whitening(images).transpose(0, 1).flatten(1)  # (directions twice, all patches)
    half = len(values) // 2
    assert torch.equal(values[:half], -values[half:])
    covariance = (values[:half] @ values[:half].T) / values.shape[1]
    strong = covariance[:6, :6]  # below them, the constant that is added to variances shows
    torch.testing.assert_close(strong, torch.eye(6), atol=0.05, rtol=0)
    assert (covariance - covariance.diagonal().diag()).abs().max() < 0.05


def test_whitening_is_fitted_once_and_never_trained() -> None:
    network = build()
    network.prepare(correlated_images)
    before = network.first.weight.clone()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    network(correlated_images(8)).logsumexp(1).sum().backward()
    optimizer.step()
    assert torch.equal(network.first.weight, before)
    assert "first.weight" in network.state_dict()


def test_convolutions_pass_their_input_on_at_first() -> None:
    network = build(widths=[32, 64, 64])
    kernel = network.groups[0].convolutions[0].weight  # (32, 24, 3, 3)
    images = torch.randn(2, 24, 8, 8, generator=torch.Generator().manual_seed(0))
    passed = nn.functional.conv2d(images, kernel, padding=1)[:, :24]
    torch.testing.assert_close(passed, images)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_depth_is_the_number_of_convolutions_of_a_group(depth: int) -> None:
    network = build(depths=[1, 2, depth])
    kernels = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(kernels) == 3 + depth


def test_large_images_are_cut_into_patches_at_a_stride() -> None:
    assert build((32, 32, 3)).first.stride == 1
    large = build((224, 224, 3))
    assert large.first.stride == 7
    assert large(torch.zeros(1, 3, 224, 224)).shape == (1, 10)


def test_smaller_images_than_it_was_built_for_are_taken_too() -> None:
    network = build()
    assert MODEL.takes_any_size
    for size in (8, 16, 28):
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 10)


def test_without_whitening_the_first_layer_is_trained_and_draws_nothing_else_anew() -> None:
    def built(**settings: bool) -> FastNetwork:
        network = MODEL.build(
            FastSettings(widths=(8, 8, 8), **settings),
            image_shape=(32, 32, 3),
            class_count=4,
            generator=torch.Generator().manual_seed(0),
        )
        assert isinstance(network, FastNetwork)
        return network

    plain, trained = built(), built(is_whitened=False)
    assert not list(plain.first.parameters())
    (kernel,) = trained.first.parameters()
    assert kernel.shape == plain.first.weight.shape
    assert trained(torch.randn(2, 3, 32, 32)).shape == (2, 4)
    drawn = built(starts_as_identity=False).groups[0].convolutions[1].weight
    centre = plain.groups[0].convolutions[1].weight[:, :, 1, 1]
    assert torch.equal(centre, torch.eye(8))
    assert not torch.equal(drawn[:, :, 1, 1], torch.eye(8))
