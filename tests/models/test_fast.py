"""The fast network's own parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import SettingsError
from tenfold.data.dataset import ImageSplit
from tenfold.models.fast import MODEL, FastNetwork, FastSettings, PatchWhitening
from tenfold.models.model import NetworkPlan
from tenfold.training.device import choose_device
from tenfold.training.fit import fit_network
from tenfold.training.loop import Trainer
from tenfold.training.settings import TrainingSettings


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


def test_epsilon_bounds_how_far_weak_directions_are_amplified() -> None:
    whitening = PatchWhitening(3, stride=1, patch_px=2, epsilon=0.25)
    whitening.fit(correlated_images())
    assert whitening.weight.flatten(1).norm(dim=1).max() <= 1 / 0.25**0.5


@pytest.mark.parametrize("settings", [{}, {"is_mirror_equivariant": True}])
def test_a_contrast_normalized_network_sees_neither_contrast_nor_brightness(
    settings: dict[str, bool],
) -> None:
    images = 4 * correlated_images(8)
    changes = {}
    for is_normalized in (True, False):
        network = build(widths=[8, 8, 8], is_contrast_normalized=is_normalized, **settings)
        network.prepare(correlated_images)
        pale = 0.5 * images + torch.tensor([0.3, 0.2, 0.4]).view(1, 3, 1, 1)
        before, after = network.eval()(torch.cat((images, pale))).detach().chunk(2)
        changes[is_normalized] = float((before - after).norm() / before.norm())
    assert changes[True] < 0.01
    assert changes[False] > 0.1


def test_a_flat_image_is_not_blown_up() -> None:
    network = build(widths=[8, 8, 8], is_contrast_normalized=True).eval()
    assert network(torch.full((1, 3, 32, 32), 2.0)).isfinite().all()


def test_settings_of_before_are_written_as_before() -> None:
    former = FastSettings().plain()
    assert not {"whitening_epsilon", "is_contrast_normalized"} & set(former)
    younger = {"whitening_epsilon": 0.5, "is_contrast_normalized": True}
    assert FastSettings.parse(former | younger).plain() == former | younger
    assert FastSettings.parse(former).plain() == former


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


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_whitening_directions_are_symmetric_or_antisymmetric_and_know_their_partners() -> None:
    whitening = PatchWhitening(3, stride=1, patch_px=2, is_mirror_equivariant=True)
    images = random(64, 3, 12, 12) + random(64, 3, 12, 1, seed=1)  # rows resemble each other
    whitening.fit(images)
    values = whitening(images)
    of_mirrored = whitening(images.flip(3)).flip(3)
    torch.testing.assert_close(of_mirrored, values[:, whitening.mirror_partners])
    both_ways = torch.cat((values, of_mirrored)).transpose(0, 1).flatten(1)[:12]
    variances = both_ways.square().mean(1)
    torch.testing.assert_close(variances[:6], torch.ones(6), atol=0.05, rtol=0)


def equivariant(shape: tuple[int, int, int], **settings: object) -> FastNetwork:
    network = MODEL.build(
        FastSettings.parse({"widths": [8, 12, 16], "is_mirror_equivariant": True, **settings}),
        image_shape=shape,
        class_count=5,
        generator=torch.Generator().manual_seed(0),
    )
    assert isinstance(network, FastNetwork)
    height, width, channels = shape
    network.prepare(lambda: random(16, channels, height, width))
    return network


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((32, 32, 3), {}),
        ((28, 28, 1), {}),
        ((32, 32, 3), {"is_contrast_normalized": True}),
        ((9, 7, 3), {"depths": [2, 3, 3]}),
        ((32, 32, 3), {"is_whitened": False}),
        ((64, 64, 3), {}),  # a stride of 2, with one column left over by patches of 3
        ((224, 224, 3), {}),
        ((70, 131, 3), {"is_whitened": False}),
        ((2, 2, 3), {}),
        ((1, 1, 3), {}),
    ],
)
def test_an_equivariant_network_says_the_same_of_an_image_and_its_mirror_image(
    shape: tuple[int, int, int], settings: dict[str, object]
) -> None:
    network = equivariant(shape, **settings)
    height, width, channels = shape
    images = random(4, channels, height, width, seed=2)
    for mode in (True, False):
        network.train(mode)
        torch.testing.assert_close(network(images), network(images.flip(3)), atol=1e-4, rtol=1e-4)


def test_a_plain_network_tells_mirror_images_apart() -> None:
    network = equivariant((32, 32, 3), is_mirror_equivariant=False)
    images = random(4, 3, 32, 32)
    assert (network(images) - network(images.flip(3))).abs().max() > 0.01


def test_the_first_equivariant_convolution_passes_the_patches_on() -> None:
    network = equivariant((32, 32, 3), widths=[64, 64, 64])
    layer = network.groups[0].convolutions[0]
    patches = random(2, 24, 8, 8)
    passed = layer(patches)
    torch.testing.assert_close(passed[:, :24], patches)
    torch.testing.assert_close(passed[:, 32 : 32 + 24], patches[:, layer.partners])


def test_widths_of_an_equivariant_network_have_two_halves() -> None:
    with pytest.raises(SettingsError, match="even"):
        FastSettings.parse({"widths": [8, 9, 16], "is_mirror_equivariant": True})
    FastSettings.parse({"widths": [8, 9, 16]})


@pytest.mark.parametrize("mirror_keeps_class", [True, False])
def test_equivariance_is_off_where_a_mirror_image_may_not_show_its_class(
    mirror_keeps_class: bool,
) -> None:
    plan = NetworkPlan.parse(
        "fast",
        {"widths": [4, 4, 4], "is_mirror_equivariant": True},
        image_shape=(8, 8, 3),
        class_count=2,
    )
    images = random(8, 8, 8, 3).mul(50).add(100).clamp(0, 255).byte().numpy()
    trainer = Trainer(
        TrainingSettings(epochs=1, batch_size=4),
        seed=0,
        device=choose_device("cpu"),
        mirror_keeps_class=mirror_keeps_class,
    )
    split = ImageSplit(images, torch.arange(8).remainder(2).numpy())
    fitted = fit_network(trainer, plan, split)
    assert isinstance(fitted.plan.settings, FastSettings)
    assert fitted.plan.settings.is_mirror_equivariant == mirror_keeps_class
    again = fitted.plan.restore(fitted.last_weights)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(pixels), fitted.network.eval()(pixels))
