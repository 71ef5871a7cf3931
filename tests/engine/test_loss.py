"""The loss of mixtures and of rebalanced classes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tenfold.core.records.training import RebalancingPlan
from tenfold.data.rebalancing import REBALANCINGS
from tenfold.training.batches import MixedLabels, TrainingLoss, right_answers

CPU = torch.device("cpu")
LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
PARTNERS = torch.tensor([1, 1, 0, 2, 3, 0])
SHARE = torch.tensor([1.0, 0.5, 0.25, 0.0, 0.9, 0.4])


def loss_of(plan: RebalancingPlan, label_smoothing: float = 0.1) -> TrainingLoss:
    return TrainingLoss.rebalanced(plan, label_smoothing=label_smoothing, device=CPU)


def test_without_a_plan_it_is_torch_s_bit_for_bit() -> None:
    expected = functional.cross_entropy(LOGITS, LABELS, label_smoothing=0.1)
    assert torch.equal(loss_of(RebalancingPlan())(LOGITS, LABELS), expected)


def test_mixed_labels_are_soft_targets() -> None:
    soft = torch.zeros(6, 4)
    rows = torch.arange(6)
    soft[rows, LABELS] += SHARE
    soft[rows, PARTNERS] += 1 - SHARE
    expected = functional.cross_entropy(LOGITS, soft, label_smoothing=0.1)
    ours = loss_of(RebalancingPlan())(LOGITS, MixedLabels(LABELS, PARTNERS, SHARE))
    torch.testing.assert_close(ours, expected)


def test_weights_are_of_the_image_s_class() -> None:
    plan = RebalancingPlan(class_weights=(1.0, 2.0, 0.5, 4.0))
    each = functional.cross_entropy(LOGITS, LABELS, label_smoothing=0.1, reduction="none")
    weights = torch.tensor([1, 2, 0.5, 4, 1, 2])
    torch.testing.assert_close(loss_of(plan)(LOGITS, LABELS), (each * weights).mean())
    whole = MixedLabels(LABELS, PARTNERS, torch.ones(6))
    torch.testing.assert_close(loss_of(plan)(LOGITS, whole), (each * weights).mean())


def test_offsets_are_added_to_the_logits() -> None:
    plan = REBALANCINGS["logit-adjust"].plan((60, 30, 9, 1))
    adjusted = LOGITS + torch.tensor([0.6, 0.3, 0.09, 0.01]).log()
    expected = functional.cross_entropy(adjusted, LABELS)
    torch.testing.assert_close(loss_of(plan, 0.0)(LOGITS, LABELS), expected)


@pytest.mark.parametrize(
    ("truth", "winner"),
    [
        # All that is known of the image is the classes' shares: none may win by its size.
        ((0.6, 0.3, 0.096, 0.004), None),
        # It is of the largest class more often than by chance: that class wins.
        ((0.9, 0.07, 0.029, 0.001), 0),
    ],
)
def test_smoothing_does_not_turn_the_adjusted_classes_over(
    truth: tuple[float, ...], winner: int | None
) -> None:
    loss = loss_of(REBALANCINGS["logit-adjust"].plan((600, 300, 96, 4)), label_smoothing=0.2)
    logits = torch.zeros(1, 4, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100)

    def mean_loss() -> torch.Tensor:
        optimizer.zero_grad()
        each = torch.stack([loss(logits, torch.tensor([label])) for label in range(4)])
        mean = (each * torch.tensor(truth)).sum()
        mean.backward()
        return mean

    optimizer.step(mean_loss)
    found = logits.detach()[0]
    if winner is None:
        assert found.max() - found.min() < 0.01
    else:
        assert found.argmax() == winner


def test_right_answers_of_a_mixture_are_those_of_the_larger_part() -> None:
    mixed = MixedLabels(LABELS, PARTNERS, SHARE)
    assert mixed.dominant.tolist() == [0, 1, 0, 2, 0, 0]
    answers = functional.one_hot(torch.tensor([0, 1, 0, 3, 0, 0]), 4).float()
    assert right_answers(answers, mixed) == 5
    assert right_answers(answers, LABELS) == 4


@pytest.mark.parametrize("name", REBALANCINGS.names())
def test_every_rebalancing_gives_a_finite_loss(name: str) -> None:
    plan = REBALANCINGS[name].plan((1000, 100, 10, 1))
    assert torch.isfinite(loss_of(plan)(LOGITS, LABELS))
