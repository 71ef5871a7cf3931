"""A linear layer fitted to features: multinomial logistic regression with an L2 penalty.

The loss is convex, so there is one best layer a penalty; L-BFGS (Liu and Nocedal 1989) finds it on
all features at once. The penalty is chosen by the log loss on images that it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

PENALTIES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""From strong to weak, of the mean loss on standardised features: where one ends, the next begins,
and a weaker penalty than one that did worse is not tried."""
_ITERATIONS = 60
_HISTORY = 10  # as SciPy's L-BFGS-B
_LEAST_DEVIATION = 1e-6


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

    features: Tensor
    labels: Tensor

    def rows(self, index: Tensor) -> FeatureSet:
        """Give some rows."""
        return FeatureSet(self.features[index], self.labels[index])


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
            self.logits(held_out.features).double(), held_out.labels
        ).item()


def fit_path(
    train: FeatureSet,
    *,
    class_count: int,
    penalties: Sequence[float] = PENALTIES,
    label_smoothing: float = 0.0,
    is_enough: Callable[[float, LinearLayer], bool] = lambda _penalty, _layer: False,
) -> list[tuple[float, LinearLayer]]:
    """Fit a layer for each penalty in turn.

    Parameters
    ----------
    train
        What to fit to.
    class_count
        Number of outputs.
    penalties
        Factors on half the sum of the squared weights, of standardised features.
    label_smoothing
        Share of the target that is spread over all classes.
    is_enough
        Told each layer; True ends the path.
    """
    # One copy, changed in place: all features of CIFAR-10 and its mirror images are 0.7 GB.
    standard = train.features.to(torch.float32, copy=True)
    mean = standard.mean(0)
    standard -= mean
    deviation = torch.linalg.vector_norm(standard, dim=0) / len(standard) ** 0.5
    scale = torch.where(deviation > _LEAST_DEVIATION, 1 / deviation, 0)  # a constant tells nothing
    standard *= scale
    best = LinearLayer(
        standard.new_zeros(class_count, standard.shape[1]), standard.new_zeros(class_count)
    )
    path = []
    for penalty in penalties:
        best = _minimise(best, standard, train.labels, penalty, label_smoothing)
        weight = best.weight * scale
        layer = LinearLayer(weight, best.bias - weight @ mean)
        path.append((penalty, layer))
        if is_enough(penalty, layer):
            break
    return path


def choose_penalty(
    folds: Sequence[tuple[FeatureSet, FeatureSet]],
    *,
    class_count: int,
    label_smoothing: float = 0.0,
    on_penalty: Callable[[float], None] | None = None,
) -> dict[float, float]:
    """Give the mean log loss on held-out features for each penalty that was tried.

    Parameters
    ----------
    folds
        Pairs of features to fit to and features to judge by.
    class_count, label_smoothing
        See `fit_path`.
    on_penalty
        Told each penalty that is done, fold after fold.
    """
    losses: dict[float, list[float]] = {}
    for train, held_out in folds:
        seen: list[float] = []

        def note(
            penalty: float,
            layer: LinearLayer,
            seen: list[float] = seen,
            held_out: FeatureSet = held_out,
        ) -> bool:
            loss = layer.log_loss(held_out)
            seen.append(loss)
            losses.setdefault(penalty, []).append(loss)
            if on_penalty is not None:
                on_penalty(penalty)
            return len(folds) == 1 and len(seen) > 1 and loss > seen[-2]

        fit_path(train, class_count=class_count, label_smoothing=label_smoothing, is_enough=note)
    return {penalty: sum(values) / len(values) for penalty, values in losses.items()}


def _minimise(
    start: LinearLayer, features: Tensor, labels: Tensor, penalty: float, label_smoothing: float
) -> LinearLayer:
    """Give the layer that minimises the penalised loss."""
    # Two tensors: the gradient of a part of one takes four times as long on a CPU.
    weight = start.weight.clone().requires_grad_()
    bias = start.bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_ITERATIONS,
        history_size=_HISTORY,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = functional.linear(features, weight, bias)
        value = functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        value = value + 0.5 * penalty * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return LinearLayer(weight.detach(), bias.detach())
