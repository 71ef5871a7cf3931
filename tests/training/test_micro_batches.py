"""Batches cut into micro-batches: the same training, but for rounding and batch norm's noise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from tenfold.data.dataset import ImageSplit
from tenfold.models.model import ImageNetwork
from tenfold.training.device import Device
from tenfold.training.fixed_sum import WorkerGroup, added, spans_of
from tenfold.training.loop import Trainer, Training
from tenfold.training.settings import TrainingSettings

NO_DROPOUT = {"conv_dropout": 0.0, "dense_dropout": 0.0}


def step(
    network: ImageNetwork, split: ImageSplit, device: Device, micro_batches: int | None
) -> Training:
    """Do one step of plain gradient descent, on all images."""
    settings = TrainingSettings(
        epochs=1, batch_size=len(split), micro_batches=micro_batches, optimizer="sgd",
        learning_rate=0.1, schedule="constant", augmentation="none", precision="float32",
    )  # fmt: skip
    training = Training(Trainer(settings, 3, device), network, split)
    training.train()
    return training


@pytest.mark.parametrize("micro_batches", [1, 4, 7, 64])
def test_parts_add_up_to_the_whole_batch(
    make_network: Callable[..., ImageNetwork],
    make_split: Callable[..., ImageSplit],
    cpu: Device,
    micro_batches: int,
) -> None:
    split = make_split(27)
    whole = step(make_network(**NO_DROPOUT), split, cpu, None)
    parts = step(make_network(**NO_DROPOUT), split, cpu, micro_batches)
    weights = parts.network.state_dict()
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-4, atol=1e-6)
    first, second = whole.state.history[0], parts.state.history[0]
    assert second.train_loss == pytest.approx(first.train_loss, rel=1e-5)
    assert second.train_accuracy == first.train_accuracy


def test_running_statistics_are_those_of_the_parts(
    make_network: Callable[..., ImageNetwork], make_split: Callable[..., ImageSplit], cpu: Device
) -> None:
    split = make_split(27)
    networks = {
        parts: step(make_network(has_batch_norm=True, **NO_DROPOUT), split, cpu, parts).network
        for parts in (None, 1, 3)
    }
    states = {parts: network.state_dict() for parts, network in networks.items()}
    names = [name for name in states[None] if "running" in name or "tracked" in name]
    assert len(names) == 3
    for name in names:
        torch.testing.assert_close(states[1][name], states[None][name])
        # Means of parts add up exactly; variances within them lack what is between them.
        tolerance = 1e-6 if "mean" in name else 0.05
        torch.testing.assert_close(states[3][name], states[None][name], rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 16])
def test_what_workers_add_up_is_the_tree_of_one(count: int) -> None:
    terms = [torch.from_numpy(np.random.default_rng(n).normal(size=50)) for n in range(count)]

    def one_term(span: tuple[int, int]) -> torch.Tensor | None:
        return terms[span[0]].clone() if span[1] - span[0] == 1 else None

    expected = added((0, count), one_term)
    for size in range(1, count + 1):
        group = WorkerGroup()
        group.size = size
        shares = [group.share(count, rank) for rank in range(size)]
        assert [share.stop for share, _ in pairwise(shares)] == [s.start for s in shares[1:]]
        spans = [span for share in shares for span in spans_of((0, count), share)]
        known = {span: added(span, one_term) for span in spans}
        assert torch.equal(added((0, count), known.get), expected)
