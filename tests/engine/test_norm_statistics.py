"""Batch norm's statistics, measured again: over what, and that nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tenfold.data.dataset import ImageSplit
from tenfold.engine.batches import as_pixels
from tenfold.engine.device import Device
from tenfold.engine.network import ImageNetwork
from tenfold.engine.norm_statistics import has_norm_statistics, measure_norm_statistics
from tenfold.models.batch_norm import BatchNorm

CPU = torch.device("cpu")


def test_they_are_the_means_over_the_batches(
    make_split: Callable[..., ImageSplit], make_network: Callable[..., ImageNetwork], cpu: Device
) -> None:
    network = make_network(has_batch_norm=True, conv_dropout=0.5)
    network.train()
    (norm,) = (layer for layer in network.modules() if isinstance(layer, BatchNorm))
    norm.running_mean.fill_(77.0)  # type: ignore[union-attr]
    seen: list[torch.Tensor] = []
    handle = norm.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pixels = as_pixels(make_split(12).images, CPU)
    measure_norm_statistics(network, [pixels[:6], pixels[6:]], device=cpu, precision=torch.float32)
    handle.remove()
    means = torch.stack([features.mean((0, 2, 3)) for features in seen])
    variances = torch.stack([features.var((0, 2, 3)) for features in seen])
    assert torch.allclose(norm.running_mean, means.mean(0), rtol=1e-4)  # type: ignore[arg-type]
    assert torch.allclose(norm.running_var, variances.mean(0), rtol=1e-4)  # type: ignore[arg-type]
    assert norm.momentum == 0.1
    assert network.training
    assert norm.training
    after = network.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before if "norm" not in n)


def test_networks_without_batch_norm_have_none(make_network: Callable[..., ImageNetwork]) -> None:
    assert has_norm_statistics(make_network(has_batch_norm=True))
    assert not has_norm_statistics(make_network())
