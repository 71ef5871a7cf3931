"""Multinomial logistic regression with an L2 penalty, fitted to several sets of rows at once.

The loss is convex, so there is one best layer a set of rows. L-BFGS (Liu and Nocedal 1989,
doi:10.1007/BF01589116) finds it in few passes because it begins from a good guess of the inverse
Hessian: that of a softmax whose probabilities vary alike everywhere, which is the features' Gram
matrix times a factor, plus the penalty. The folds of a cross-validation share that matrix, and one
pass over the features serves all of them. No preconditioner changes the optimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tenfold.data.feature_rows import Features

_LEAST_DEVIATION = 1e-6
_BLOCK_ROWS = 8192
_MOST_BLOCK_VALUES = 4_000_000
"""Of the logits of a block of rows, all problems together."""
_PRECONDITIONED_ROWS = 4096
"""Of which the Gram matrix is made: it need not be exact."""
_HISTORY = 10  # as SciPy's L-BFGS-B
_MOST_PASSES = 200
_SUFFICIENT_DECREASE = 1e-4  # Nocedal and Wright, Numerical Optimization (2006), section 3.1
_LEAST_STEP = 1e-3
_ROUNDING = 1e-6
"""Share of the objective below which float32 tells no fall from a rise."""
_MOST_STALLS = 3
"""Steps in a row that make no difference."""


@dataclass(frozen=True)
class Solutions:
    """What a fit of several problems gave.

    Parameters
    ----------
    layers
        Shape (F, K, D + 1): weights of standardised features, and biases, of each problem.
    judged_losses
        Mean log loss of each problem's judging rows.
    """

    layers: Tensor
    judged_losses: tuple[float, ...]


class SoftmaxRegressions:
    """Problems that share features, labels and classes, and differ in their rows.

    Each standardises the features by the rows that it is fitted to.

    Parameters
    ----------
    features
        Shape (N, D), float32 where they are a tensor; they are read block by block, never copied.
    labels
        int64, shape (N,).
    fitted
        Places of the rows that each problem is fitted to.
    judged
        Places of the rows that each is judged by; may be empty.
    class_count
        Number of outputs K.
    label_smoothing
        Share of the target that is spread over all classes; not of the judging.
    """

    def __init__(
        self,
        features: Features,
        labels: Tensor,
        fitted: Sequence[Tensor],
        judged: Sequence[Tensor],
        *,
        class_count: int,
        label_smoothing: float = 0.0,
    ) -> None:
        self.features = features
        self.labels = labels
        self.class_count = class_count
        self.label_smoothing = label_smoothing
        self._block: Tensor | None = None  # of rows out of a file
        self._weights = self._shares(fitted)  # (N, F)
        self._judging = self._shares(judged)
        self._rows = min(_BLOCK_ROWS, max(1, _MOST_BLOCK_VALUES // (class_count * len(fitted))))
        self.mean, self.scale = self._statistics()  # (F, D) each
        self._sample, self._gram = self._standardised_sample()

    def zeros(self) -> Tensor:
        """Give layers to begin from that know nothing."""
        count, dimensions = self.mean.shape
        return self.mean.new_zeros(count, self.class_count, dimensions + 1)

    def solve(self, start: Tensor, penalty: float, *, tolerance: float) -> Solutions:
        """Minimise the mean log loss plus half the penalty times the sum of squared weights.

        Parameters
        ----------
        start
            Layers to begin from, see `Solutions`.
        penalty
            Above 0.
        tolerance
            A problem is done when a Newton step promises a smaller fall than this share of the
            objective.
        """
        precondition = self._preconditioner(start, penalty)
        descents = [_Descent(layer, precondition, tolerance) for layer in start]
        judged = [float("nan")] * len(descents)
        for _ in range(_MOST_PASSES):
            active = [place for place, descent in enumerate(descents) if not descent.is_done]
            if not active:
                break
            layers = torch.stack([descents[place].trial for place in active])
            values, gradients, losses = self._pass(layers, active, penalty)
            for place, value, gradient, loss in zip(active, values, gradients, losses, strict=True):
                if descents[place].tell(value, gradient):
                    judged[place] = loss
        return Solutions(torch.stack([descent.best for descent in descents]), tuple(judged))

    def unstandardised(self, problem: int, layer: Tensor) -> tuple[Tensor, Tensor]:
        """Give weight (K, D) and bias (K,) for features as they are."""
        weight = layer[:, :-1] * self.scale[problem]
        return weight, layer[:, -1] - weight @ self.mean[problem]

    def _shares(self, rows: Sequence[Tensor]) -> Tensor:
        """Give what each row counts in each problem's mean, shape (N, F)."""
        shares = torch.zeros(len(self.features), len(rows), device=self.labels.device)
        for problem, chosen in enumerate(rows):
            shares[chosen, problem] = 1 / max(len(chosen), 1)
        return shares

    def _read(self, key: slice | Tensor) -> Tensor:
        """Give some rows in float32, beside their labels."""
        if isinstance(self.features, Tensor):
            return self.features[key]
        key = key if isinstance(key, slice) else key.cpu()
        return self.features[key].to(self.labels.device, torch.float32)

    def _read_block(self, block: slice) -> Tensor:
        """Give a block of rows, until the next is read."""
        if isinstance(self.features, Tensor):
            return self.features[block]
        if self._block is None:
            shape = self._rows, self.features.shape[1]
            self._block = torch.empty(shape, dtype=self.features.dtype)
        return self.features.read(block, self._block).to(self.labels.device, torch.float32)

    def _blocks(self) -> list[slice]:
        starts = range(0, len(self.features), self._rows)
        return [slice(start, start + self._rows) for start in starts]

    def _statistics(self) -> tuple[Tensor, Tensor]:
        shift = self._read(slice(_BLOCK_ROWS)).mean(0)  # else squares would lose digits
        first = shift.new_zeros(self._weights.shape[1], self.features.shape[1])
        second = torch.zeros_like(first)
        for block in self._blocks():
            moved, shares = self._read_block(block) - shift, self._weights[block].T
            first += shares @ moved
            second += shares @ moved.square_()
        deviation = (second - first.square()).clamp_min(0).sqrt()
        mean = first + shift
        is_varied = deviation > _LEAST_DEVIATION * mean.abs().clamp_min(1)
        return mean, torch.where(is_varied, 1 / deviation, 0)  # a constant tells nothing

    def _standardised_sample(self) -> tuple[Tensor, Tensor]:
        """Give some rows that are fitted to, and their Gram matrix, the smaller one."""
        rows = (self._weights.sum(1) > 0).nonzero()[:, 0]
        rows = rows[:: -(-len(rows) // _PRECONDITIONED_ROWS)]
        sample = (self._read(rows) - self.mean.mean(0)) * self.scale.mean(0)
        sample /= len(rows) ** 0.5
        is_wide = sample.shape[0] < sample.shape[1]
        return sample, sample @ sample.T if is_wide else sample.T @ sample

    def _preconditioner(self, start: Tensor, penalty: float) -> _Preconditioner:
        """Guess the inverse Hessian near `start`."""
        curvature = self._curvature(start)
        ridge, factor = penalty, None
        while factor is None:
            matrix = curvature * self._gram
            matrix.diagonal().add_(ridge)
            lower, failed_at = torch.linalg.cholesky_ex(matrix)
            if failed_at.item() and math.isfinite(
                ridge
            ):  # features that hardly vary in a fold are huge: digits are lost
                ridge *= 10
            else:
                factor = lower
        inverse = torch.cholesky_inverse(factor)
        is_wide = self._sample.shape[0] < self._sample.shape[1]
        return _Preconditioner(inverse, curvature, ridge, self._sample if is_wide else None)

    def _curvature(self, layers: Tensor) -> float:
        """Give the mean of p (1 - p) over rows and classes, by the first problem's layer."""
        weight, bias = self.unstandardised(0, layers[0])
        stride = -(-len(self.features) // _BLOCK_ROWS)
        logits = functional.linear(self._read(slice(None, None, stride)), weight, bias)
        probabilities = logits.softmax(1)
        return max((probabilities * (1 - probabilities)).mean().item(), 1e-4)

    def _pass(
        self, layers: Tensor, problems: list[int], penalty: float
    ) -> tuple[list[float], Tensor, list[float]]:
        """Give objective, gradient and judging loss of some problems, in one pass over all rows."""
        count, classes = len(problems), self.class_count
        mean, scale = self.mean[problems, None], self.scale[problems, None]  # (F, 1, D)
        weights = layers[:, :, :-1]
        scaled = weights * scale
        biases = (layers[:, :, -1] - (scaled * mean).sum(2)).flatten()
        flat = scaled.flatten(0, 1)  # (F K, D)
        of_features = torch.zeros_like(flat)
        of_biases = torch.zeros_like(biases)
        fitted, judged = biases.new_zeros(count), biases.new_zeros(count)
        smoothing = self.label_smoothing
        for block in self._blocks():
            rows, labels = self._read_block(block), self.labels[block]
            shares = self._weights[block][:, problems]  # (B, F)
            logits = functional.linear(rows, flat, biases).view(-1, count, classes)
            log_probabilities = logits.log_softmax(2)
            places = labels[:, None, None].expand(-1, count, 1)
            losses = -log_probabilities.gather(2, places)[:, :, 0]  # (B, F)
            judged += (losses * self._judging[block][:, problems]).sum(0)
            residuals = log_probabilities.exp()
            residuals.scatter_add_(2, places, residuals.new_full(places.shape, smoothing - 1))
            if smoothing:
                losses = (1 - smoothing) * losses - smoothing * log_probabilities.mean(2)
                residuals -= smoothing / classes
            fitted += (losses * shares).sum(0)
            residuals *= shares[:, :, None]
            spread = residuals.view(-1, count * classes)
            of_features += spread.T @ rows
            of_biases += spread.sum(0)
        of_biases = of_biases.view(count, classes, 1)
        gradients = (of_features.view_as(weights) - of_biases * mean) * scale + penalty * weights
        values = fitted + 0.5 * penalty * weights.square().sum((1, 2))
        return values.tolist(), torch.cat((gradients, of_biases), 2), judged.tolist()


@dataclass(frozen=True)
class _Preconditioner:
    """The inverse of ``curvature × Gram matrix + penalty``, and of the biases' curvature.

    With fewer rows than features, after Woodbury, from the matrix of the rows.
    """

    inverse: Tensor
    curvature: float
    penalty: float
    sample: Tensor | None

    def __call__(self, layer: Tensor) -> Tensor:
        weight = layer[:, :-1]
        if self.sample is None:
            weight = weight @ self.inverse
        else:
            inner = (weight @ self.sample.T) @ self.inverse @ self.sample
            weight = (weight - self.curvature * inner) / self.penalty
        return torch.cat((weight, layer[:, -1:] / self.curvature), 1)


class _Descent:
    """L-BFGS on one problem, which asks for one value and gradient after the other."""

    def __init__(self, start: Tensor, precondition: _Preconditioner, tolerance: float) -> None:
        self.best = self.trial = start
        self.is_done = False
        self._precondition = precondition
        self._tolerance = tolerance
        self._value: float | None = None
        self._gradient = self._direction = torch.zeros_like(start)
        self._steps: list[tuple[Tensor, Tensor]] = []
        self._step, self._slope, self._stalls = 1.0, 0.0, 0

    def tell(self, value: float, gradient: Tensor) -> bool:
        """Take value and gradient at `trial`, and say whether that is the best place now."""
        is_first = self._value is None
        if self._value is not None:
            wanted = self._value + _SUFFICIENT_DECREASE * self._step * self._slope
            if not value <= wanted + _ROUNDING * abs(self._value):
                self._step /= 2
                self.is_done = self._step < _LEAST_STEP
                self.trial = self.best + self._step * self._direction
                return False
            is_stalled = self._value - value < _ROUNDING / 10 * abs(value)
            self._stalls = self._stalls + 1 if is_stalled else 0
        if not is_first:
            moved, turned = self.trial - self.best, gradient - self._gradient
            if (moved * turned).sum() > 1e-10 * turned.square().sum():  # else it is no curvature
                self._steps = [*self._steps, (moved, turned)][-_HISTORY:]
        self.best, self._value, self._gradient = self.trial, value, gradient
        self._direction = self._quasi_newton_direction()
        self._slope = (self._direction * gradient).sum().item()
        self._step = 1.0
        is_near = -self._slope / 2 < self._tolerance * value
        self.is_done = is_near or self._stalls >= _MOST_STALLS
        self.trial = self.best + self._direction
        return True

    def _quasi_newton_direction(self) -> Tensor:
        """Give the two loops of Nocedal and Wright's algorithm 7.4."""
        left, factors = self._gradient.clone(), []
        for moved, turned in reversed(self._steps):
            factor = (moved * left).sum() / (moved * turned).sum()
            factors.append(factor)
            left -= factor * turned
        direction = self._precondition(left)
        if self._steps:
            moved, turned = self._steps[-1]
            direction *= (moved * turned).sum() / (turned * self._precondition(turned)).sum()
        for (moved, turned), factor in zip(self._steps, reversed(factors), strict=True):
            back = (turned * direction).sum() / (moved * turned).sum()
            direction += (factor - back) * moved
        return -direction
