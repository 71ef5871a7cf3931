"""A linear layer fitted to features, and the penalty that suits them.

Multinomial logistic regression with an L2 penalty, which is chosen by the log loss on images that
it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tenfold.data.feature_rows import Features
from tenfold.training.softmax_regression import SoftmaxRegressions

PENALTIES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""From strong to weak, of the mean loss on standardised features. Where one does worse than the one
before it, none beyond it is tried."""
_FIRST = PENALTIES.index(0.1)
CHOOSING_TOLERANCE = 3e-5
"""Of the loss, relative: neighbouring penalties differ by a hundred times as much and more."""
FITTING_TOLERANCE = 1e-6
"""Ten times what float32 can tell apart."""


@dataclass(frozen=True)
class FeatureSet:
    """Features and labels.

    Parameters
    ----------
    features
        Shape (N, D).
    labels
        int64, shape (N,).
    """

    features: Features
    labels: Tensor

    def first(self, count: int) -> FeatureSet:
        """Give the first rows."""
        if isinstance(self.features, Tensor):
            return FeatureSet(self.features[:count], self.labels[:count])
        return FeatureSet(self.features.first(count), self.labels[:count])

    @property
    def numbers(self) -> Features:
        """Give the features in float32; those in a file are made so block by block."""
        return self.features.float() if isinstance(self.features, Tensor) else self.features


@dataclass(frozen=True)
class LinearLayer:
    """A fitted layer, for features as they are: the standardisation is folded in.

    Parameters
    ----------
    weight, bias
        Shapes (K, D) and (K,), float32.
    """

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Give logits, shape (N, K)."""
        return features.float() @ self.weight.T + self.bias

    def log_loss(self, held_out: FeatureSet) -> float:
        """Give the mean cross-entropy."""
        return functional.cross_entropy(
            self.logits(held_out.features[:]).double(), held_out.labels
        ).item()


@dataclass(frozen=True)
class ChosenPenalty:
    """What came of the penalties.

    Parameters
    ----------
    losses
        Mean log loss on the rows that judge, of each penalty tried, from strong to weak.
    start
        Shape (K, D + 1): the mean of the folds' layers at the best penalty, a place to begin from.
    """

    losses: dict[float, float]
    start: Tensor

    @property
    def penalty(self) -> float:
        """Give the best; of equal ones the strongest."""
        return min(self.losses, key=lambda tried: self.losses[tried])


def fit_layer(
    train: FeatureSet,
    penalty: float,
    *,
    class_count: int,
    label_smoothing: float = 0.0,
    start: Tensor | None = None,
) -> LinearLayer:
    """Fit the one best layer.

    Parameters
    ----------
    train
        What to fit to.
    penalty
        Factor on half the sum of the squared weights, of standardised features.
    class_count
        Number of outputs.
    label_smoothing
        Share of the target that is spread over all classes.
    start
        See `ChosenPenalty`; it saves passes and changes nothing.
    """
    rows = torch.arange(len(train.labels), device=train.labels.device)
    problem = SoftmaxRegressions(
        train.numbers,
        train.labels,
        [rows],
        [rows[:0]],
        class_count=class_count,
        label_smoothing=label_smoothing,
    )
    begin = problem.zeros() if start is None else start[None]
    solved = problem.solve(begin, penalty, tolerance=FITTING_TOLERANCE)
    return LinearLayer(*problem.unstandardised(0, solved.layers[0]))


def choose_penalty(
    known: FeatureSet,
    folds: Sequence[tuple[Tensor, Tensor]],
    *,
    class_count: int,
    label_smoothing: float = 0.0,
    on_penalty: Callable[[float], None] = lambda _penalty: None,
) -> ChosenPenalty:
    """Try penalties from a middle one on, to the side where the held-out log loss falls.

    Parameters
    ----------
    known
        All features.
    folds
        Places of the rows to fit to and of those to judge by, for each fold.
    class_count, label_smoothing
        See `fit_layer`.
    on_penalty
        Told each penalty that is done, all folds together.
    """
    problems = SoftmaxRegressions(
        known.numbers,
        known.labels,
        [fitted for fitted, _ in folds],
        [judged for _, judged in folds],
        class_count=class_count,
        label_smoothing=label_smoothing,
    )
    tried: dict[int, tuple[float, Tensor]] = {}

    def is_better(place: int, neighbour: int | None) -> bool:
        start = problems.zeros() if neighbour is None else tried[neighbour][1]
        solved = problems.solve(start, PENALTIES[place], tolerance=CHOOSING_TOLERANCE)
        loss = sum(solved.judged_losses) / len(folds)
        tried[place] = loss, solved.layers
        on_penalty(PENALTIES[place])
        return neighbour is None or loss < tried[neighbour][0]

    is_better(_FIRST, None)
    for way in (1, -1):  # weaker first: it is the usual one
        place = _FIRST
        while 0 <= place + way < len(PENALTIES) and is_better(place + way, place):
            place += way
        if place != _FIRST:
            break
    losses = {PENALTIES[place]: tried[place][0] for place in sorted(tried)}
    best = min(sorted(tried), key=lambda place: tried[place][0])
    return ChosenPenalty(losses, tried[best][1].mean(0))
