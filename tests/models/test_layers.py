"""Dropout draws fair masks from its own generator; mirror layers commute with mirroring."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tenfold.models.layers import (
    Dropout,
    MirrorBatchNorm,
    MirrorConvolution,
    MirrorMaxPool,
    bind_generator,
    mirror_bases,
)

RATES = [0.2, 0.25, 0.5, 0.7, 1 / 256]
SIGMAS = 5  # a fair mask is outside once in two million draws; the seed is fixed besides


def dropout(rate: float, seed: int = 0) -> Dropout:
    layer = Dropout(rate)
    bind_generator(layer, torch.Generator().manual_seed(seed))
    return layer.train()


def assert_share(kept: torch.Tensor, rate: float) -> None:
    count = kept.numel()
    slack = SIGMAS * math.sqrt(count * rate * (1 - rate))
    assert abs(int(kept.sum()) - count * (1 - rate)) < slack


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("count", [400_000, 400_003])  # and where the last word is cut
def test_the_share_of_zeros_is_the_rate(rate: float, count: int) -> None:
    assert_share(dropout(rate)(torch.ones(count)) != 0, rate)


def test_a_rate_that_no_byte_holds_is_not_rounded_to_one() -> None:
    layer, ones = dropout(0.2), torch.ones(1_000_000)
    kept = sum(int(layer(ones).count_nonzero()) for _ in range(16))
    # 51/256, the nearest that one byte can give, is eight standard deviations away.
    assert kept == pytest.approx(16e6 * 0.8, abs=SIGMAS * math.sqrt(16e6 * 0.2 * 0.8))


@pytest.mark.parametrize("rate", RATES)
def test_no_byte_of_the_random_words_is_favoured(rate: float) -> None:
    kept = (dropout(rate)(torch.ones(800_000)) != 0).view(-1, 8)
    for place in range(8):
        assert_share(kept[:, place], rate)
    neighbours = kept[:, :-1] & kept[:, 1:]  # independent: both kept with (1 - rate)²
    assert_share(neighbours, 1 - (1 - rate) ** 2)


@pytest.mark.parametrize("rate", RATES)
def test_the_kept_are_scaled_so_that_the_mean_stays(rate: float) -> None:
    inputs = torch.full((1000,), 3.0)
    outputs = dropout(rate)(inputs)
    kept = outputs[outputs != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 3 / (1 - rate)))


@pytest.mark.parametrize("rate", RATES)
def test_gradients_pass_where_values_pass(rate: float) -> None:
    inputs = torch.ones(500, requires_grad=True)
    outputs = dropout(rate)(inputs)
    outputs.sum().backward()
    torch.testing.assert_close(inputs.grad, outputs.detach())


def test_evaluation_mode_and_rate_zero_change_nothing() -> None:
    inputs = torch.randn(50)
    assert torch.equal(dropout(0.5).eval()(inputs), inputs)
    assert torch.equal(dropout(0.0)(inputs), inputs)


@pytest.mark.parametrize("rate", [0.2, 0.25])
def test_channels_last_stays_channels_last(rate: float) -> None:
    inputs = torch.ones(4, 6, 5, 7).contiguous(memory_format=torch.channels_last)
    outputs = dropout(rate)(inputs)
    assert outputs.shape == inputs.shape
    assert outputs.is_contiguous(memory_format=torch.channels_last)
    assert 0 < int((outputs == 0).sum()) < outputs.numel()


@pytest.mark.parametrize("shape", [(3,), (5, 9), (2, 3, 4, 5), (2, 1, 1, 1)])
def test_any_shape_is_taken(shape: tuple[int, ...]) -> None:
    outputs = dropout(0.5)(torch.ones(shape))
    assert outputs.shape == shape
    assert set(outputs.unique().tolist()) <= {0.0, 2.0}


def test_every_channel_and_place_loses_the_same_share() -> None:
    inputs = torch.ones(4000, 6, 3, 3).contiguous(memory_format=torch.channels_last)
    kept = dropout(0.25)(inputs) != 0
    for channel in range(6):
        assert_share(kept[:, channel], 0.25)
    for row in range(3):
        assert_share(kept[:, :, row], 0.25)


def test_the_mask_comes_from_the_bound_generator_alone() -> None:
    inputs = torch.ones(1000)
    masks = []
    for global_seed, seed in [(1, 3), (2, 3), (1, 4)]:
        torch.manual_seed(global_seed)
        masks.append(dropout(0.5, seed)(inputs))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_a_generator_gives_new_masks_call_by_call() -> None:
    layer = dropout(0.5)
    inputs = torch.ones(1000)
    assert not torch.equal(layer(inputs), layer(inputs))


def test_binding_reaches_nested_layers() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(Dropout(0.5), nn.ReLU()), Dropout(0.1))
    generator = torch.Generator()
    bind_generator(network, generator)
    bound = [layer.generator for layer in network.modules() if isinstance(layer, Dropout)]
    assert bound == [generator, generator]


def test_bfloat16_stays_bfloat16() -> None:
    assert dropout(0.5)(torch.ones(10, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_out_of_range_is_our_own_mistake(rate: float) -> None:
    with pytest.raises(AssertionError):
        Dropout(rate)


def test_it_prints_its_rate() -> None:
    assert repr(Dropout(0.25)) == "Dropout(rate=0.25)"


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mirrored(features: Tensor) -> Tensor:
    """Give what the features of the mirror image are: halves exchanged, left and right too."""
    return features.roll(features.size(1) // 2, 1).flip(3)


def convolution() -> MirrorConvolution:
    layer = MirrorConvolution(6, 8, 3, padding=1)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
    return layer


@pytest.mark.parametrize("size", [(7, 7), (8, 6), (3, 2)])
def test_every_layer_commutes_with_mirroring(size: tuple[int, int]) -> None:
    layers = (convolution(), MirrorBatchNorm(6, momentum=0.1), MirrorMaxPool())
    features = random(4, 6, *size)
    for layer in layers:
        torch.testing.assert_close(layer(mirrored(features)), mirrored(layer(features)))


def test_a_plain_layer_does_not() -> None:
    features = random(4, 6, 7, 7)
    for layer in (nn.Conv2d(6, 6, 3, padding=1), nn.MaxPool2d(2)):
        difference = layer(mirrored(features)) - mirrored(layer(features))
        assert difference.abs().max() > 0.1


def test_norm_takes_statistics_of_a_channel_and_its_mirror_image() -> None:
    norm = MirrorBatchNorm(4, momentum=1.0)
    features = random(8, 4, 5, 5) + torch.arange(4.0).view(1, 4, 1, 1)
    normalized = norm(features)
    pairs = features.unflatten(1, (2, 2))
    torch.testing.assert_close(norm.running_mean, pairs.mean((0, 1, 3, 4)))
    torch.testing.assert_close(normalized.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    alone = MirrorBatchNorm(4, momentum=0.1)(random(1, 4, 1, 1))
    assert torch.isfinite(alone).all()


def test_evaluation_sees_every_change_of_the_weights() -> None:
    layer = convolution()
    features = random(1, 6, 5, 5)
    with torch.no_grad():
        before = layer(features)
        assert torch.equal(layer(features), before)
        layer.weight.mul_(2)
        torch.testing.assert_close(layer(features), 2 * before)
        layer.load_state_dict({"weight": layer.weight / 2, "partners": layer.partners})
        torch.testing.assert_close(layer(features), before)
        layer.partners.copy_(torch.arange(6))
        assert not torch.allclose(layer(features), before)
    with torch.inference_mode():
        inferred = layer(features)
    torch.testing.assert_close(inferred, layer(features).detach())


def test_bases_span_all_patches_by_parity() -> None:
    symmetric, antisymmetric = mirror_bases(3, 2)
    both = torch.cat((symmetric, antisymmetric), 1)
    torch.testing.assert_close(both @ both.T, torch.eye(12, dtype=torch.float64))
    for basis, sign in ((symmetric, 1), (antisymmetric, -1)):
        patches = basis.T.view(-1, 3, 2, 2)
        torch.testing.assert_close(patches.flip(3), sign * patches)
