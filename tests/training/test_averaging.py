"""Averages are what their definitions say, and batch norm's statistics are measured for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tenfold.data.augmentation import POLICIES
from tenfold.data.dataset import ImageSplit
from tenfold.models.layers import BatchNorm
from tenfold.models.model import ImageNetwork, copied_weights
from tenfold.training import averaging
from tenfold.training.averaging import NormStatistics, WeightAverage, held_progress
from tenfold.training.batches import TrainingBatches
from tenfold.training.device import Device
from tenfold.training.settings import TrainingSettings


def settings(**values: Any) -> TrainingSettings:
    return TrainingSettings.parse(values)


def network() -> nn.Module:
    made = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    result: nn.Module = made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return result


def fill(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(value)


def average_of(values: list[float], chosen: TrainingSettings) -> WeightAverage:
    """Give the average after steps whose weights are all `values[step]`."""
    average, module = WeightAverage(), network()
    for step, value in enumerate(values):
        fill(module, value)
        average.update(module, chosen, (step + 0.5) / len(values))
    return average


def test_without_averaging_nothing_is_kept() -> None:
    average = average_of([1, 2, 3], settings())
    assert (average.weights, average.steps) == ({}, 0)


def test_swa_is_the_mean_over_the_end() -> None:
    average = average_of([9, 9, 9, 9, 1, 2, 3, 6], settings(averaging="swa", swa_share=0.5))
    assert average.steps == 4
    for name, tensor in average.weights.items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor, torch.full_like(tensor, 3.0)), name
        else:
            assert tensor == 6, name  # a counter is the newest


def test_ema_follows_its_definition() -> None:
    values = [5.0, 1.0, 2.0, 7.0, 3.0]
    average = average_of(values, settings(averaging="ema", ema_decay=0.3))
    expected = values[0]
    for step, value in enumerate(values[1:], start=1):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert average.weights["0.bias"].tolist() == pytest.approx([expected] * 2)


def test_a_young_ema_forgets_the_fresh_network() -> None:
    average = average_of([100.0] + [1.0] * 50, settings(averaging="ema", ema_decay=0.9999))
    assert average.weights["0.bias"].max() < 1.01


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_what_does_not_move_stays_bit_for_bit(kind: str) -> None:
    average = average_of([0.1] * 30, settings(averaging=kind))
    assert torch.equal(average.weights["0.weight"], torch.full((2, 1, 1, 1), 0.1))


def test_lending_the_average_gives_the_own_weights_back() -> None:
    average, module = average_of([1, 2], settings(averaging="ema")), network()
    before = copied_weights(module)
    with average.applied(module):
        assert torch.equal(module.state_dict()["0.bias"], average.weights["0.bias"])
    after = module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_average_does_not_share_the_networks_memory() -> None:
    average, module = WeightAverage(), network()
    fill(module, 1.0)
    average.update(module, settings(averaging="ema"), 0.5)
    fill(module, 2.0)
    assert average.weights["0.bias"].tolist() == [1.0, 1.0]


def test_a_restored_average_lies_in_memory_as_the_network_does() -> None:
    module = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = WeightAverage({name: t.contiguous() for name, t in module.state_dict().items()}, 3)
    average.adopt_layout(module)
    for name, tensor in module.state_dict().items():
        assert torch.equal(average.weights[name], tensor)
        assert average.weights[name].stride() == tensor.stride()


def test_an_average_of_another_network_is_refused() -> None:
    average = average_of([1], settings(averaging="ema"))
    with pytest.raises(KeyError):
        average.adopt_layout(nn.Linear(2, 2))


def test_swa_holds_the_learning_rate_where_it_begins() -> None:
    assert held_progress(settings(averaging="swa"), 0.9) == 0.75
    assert held_progress(settings(averaging="swa"), 0.5) == 0.5
    assert held_progress(settings(averaging="ema"), 0.9) == 0.9


@pytest.fixture
def make_statistics(
    make_split: Callable[..., ImageSplit], cpu: Device
) -> Callable[[ImageNetwork], NormStatistics]:
    batches = TrainingBatches(make_split(20), 8, POLICIES["none"], True, 7, cpu.torch_device)
    return lambda network: NormStatistics(network, batches, cpu, torch.float32)


@pytest.mark.parametrize(("images", "sizes"), [(5000, [8, 8, 4]), (9, [8, 8]), (1, [8])])
def test_statistics_are_the_means_over_enough_batches(
    images: int,
    sizes: list[int],
    make_statistics: Callable[[ImageNetwork], NormStatistics],
    make_network: Callable[..., ImageNetwork],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(averaging, "STATISTICS_IMAGES", images)
    network = make_network(has_batch_norm=True, conv_dropout=0.5)
    network.train()
    (norm,) = (layer for layer in network.modules() if isinstance(layer, BatchNorm))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    seen: list[torch.Tensor] = []
    handle = norm.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
    make_statistics(network).measure(3)
    handle.remove()
    assert [len(features) for features in seen] == sizes
    means = torch.stack([features.mean((0, 2, 3)) for features in seen])
    variances = torch.stack([features.var((0, 2, 3)) for features in seen])
    after = network.state_dict()
    prefix = "body.blocks.0.norm.running_"
    torch.testing.assert_close(after[f"{prefix}mean"], means.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after[f"{prefix}var"], variances.mean(0), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1
    assert network.training
    assert norm.training
    assert all(torch.equal(before[name], after[name]) for name in before if "norm" not in name)


def test_networks_without_batch_norm_have_no_statistics(
    make_statistics: Callable[[ImageNetwork], NormStatistics],
    make_network: Callable[..., ImageNetwork],
) -> None:
    assert make_statistics(make_network(has_batch_norm=True)).steps == 3
    assert make_statistics(make_network()).steps == 0
