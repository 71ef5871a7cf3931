"""Batch norm's statistics, measured again: over what, and that nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tenfold.data.augmentation import POLICIES
from tenfold.data.dataset import ImageSplit
from tenfold.models.layers import BatchNorm
from tenfold.models.model import ImageNetwork
from tenfold.training import norm_statistics
from tenfold.training.batches import TrainingBatches
from tenfold.training.device import Device
from tenfold.training.norm_statistics import NormStatistics


@pytest.fixture
def make_statistics(
    make_split: Callable[..., ImageSplit], cpu: Device
) -> Callable[[ImageNetwork], NormStatistics]:
    batches = TrainingBatches(make_split(20), 8, POLICIES["none"], True, 7, cpu.torch_device)
    return lambda network: NormStatistics(network, batches, cpu, torch.float32)


@pytest.mark.parametrize(("images", "sizes"), [(5000, [8, 8, 4]), (9, [8, 8]), (1, [8])])
def test_they_are_the_means_over_enough_batches(
    images: int,
    sizes: list[int],
    make_statistics: Callable[[ImageNetwork], NormStatistics],
    make_network: Callable[..., ImageNetwork],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(norm_statistics, "STATISTICS_IMAGES", images)
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


def test_networks_without_batch_norm_have_none(
    make_statistics: Callable[[ImageNetwork], NormStatistics],
    make_network: Callable[..., ImageNetwork],
) -> None:
    assert make_statistics(make_network(has_batch_norm=True)).steps == 3
    assert make_statistics(make_network()).steps == 0
