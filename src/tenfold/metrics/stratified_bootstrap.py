"""Stratified bootstrap of scores that average over classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from tenfold.core.record import Interval
from tenfold.metrics.class_intervals import class_intervals
from tenfold.metrics.classification import ratio
from tenfold.metrics.shares import NORMAL_QUANTILE

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RESAMPLES = 5000
"""Of which 125 lie beyond each end of a 95% interval: the ends are stable to a few per cent of the
interval's width (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ask for 1,000)."""

MACRO_SCORES = ("macro_precision", "macro_recall", "macro_f1")


@dataclass(frozen=True)
class _Scores:
    """Macro precision, recall and F1 in the last axis, and each class's own."""

    macro: Floats
    of_classes: Floats

    @classmethod
    def of(cls, correct: Floats, cases: Floats, predictions: Floats) -> _Scores:
        """Compute from counts of shape (..., K); all classes count in the macro averages."""
        of_classes = np.stack(
            [
                ratio(correct, predictions),
                ratio(correct, np.broadcast_to(cases, correct.shape)),
                ratio(2 * correct, cases + predictions),
            ],
            axis=-2,
        )
        return cls(of_classes.mean(axis=-1), of_classes)


def macro_intervals(
    confusion: Counts, generator: np.random.Generator, *, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Give 95% intervals of macro precision, recall and F1 by a stratified BCa bootstrap.

    Test images are drawn again with replacement within each true class, so every resample has as
    many images of each class as the test split: each row of the confusion matrix is drawn from the
    multinomial distribution that it estimates. The ends are Efron's bias-corrected and accelerated
    percentiles (BCa; Efron 1987, doi:10.1080/01621459.1987.10478410), the acceleration of several
    samples after Davison and Hinkley (Bootstrap Methods and their Application, 1997, section 5.3).
    Plain percentiles cover too rarely (92%) where a class has few images and errors.

    A class of which no image was recognised does not vary between resamples, so the bootstrap knows
    nothing of its uncertainty (87% coverage where small classes are hardly ever recognised). Where
    there is one, or nothing varies at all, the interval reaches at least as far as the classes'
    Wilson intervals joined as those of independent shares (Zou and Donner 2008,
    doi:10.1002/sim.3095).

    Parameters
    ----------
    confusion
        int64, shape (K, K), rows are true classes.
    generator
        Of the resamples.
    resamples
        Number of resamples. Memory is ``resamples × K``, not ``resamples × K²``.
    """
    cases = confusion.sum(axis=1).astype(np.float64)
    predictions = confusion.sum(axis=0).astype(np.float64)
    estimate = _Scores.of(confusion.diagonal().astype(np.float64), cases, predictions)
    resampled = _resampled(confusion, generator, resamples)  # (resamples, 3)
    accelerations = _accelerations(confusion, estimate)
    has_unknown = bool((confusion.diagonal()[cases > 0] == 0).any())
    found = {}
    for place, name in enumerate(MACRO_SCORES):
        values, value = np.sort(resampled[:, place]), float(estimate.macro[place])
        found[name] = _bca(values, value, float(accelerations[place]))
        if has_unknown or values[-1] - values[0] < 1e-12:
            joined = _joined(confusion, estimate.of_classes[place], value, name)
            found[name] = Interval(
                low=min(found[name].low, joined.low), high=max(found[name].high, joined.high)
            )
    return found


def _resampled(confusion: Counts, generator: np.random.Generator, resamples: int) -> Floats:
    size = len(confusion)
    cases = confusion.sum(axis=1)
    correct = np.zeros((resamples, size))
    predictions = np.zeros((resamples, size))
    for row in range(size):
        columns = np.flatnonzero(confusion[row])
        if not len(columns):
            continue
        shares = confusion[row, columns] / cases[row]
        drawn = generator.multinomial(cases[row], shares, size=resamples)
        predictions[:, columns] += drawn
        correct[:, row] += drawn[:, columns == row].sum(axis=1)
    return _Scores.of(correct, cases.astype(np.float64), predictions).macro


def _accelerations(confusion: Counts, estimate: _Scores) -> Floats:
    """Give the third standardised moment of the images' influence, one a score.

    An image of class i named j has the influence of replacing an average image of class i by it.
    """
    size = len(confusion)
    cases, predictions = confusion.sum(axis=1), confusion.sum(axis=0)
    shares = ratio(confusion, np.broadcast_to(cases[:, None], confusion.shape))
    right = np.eye(size) - shares.diagonal()[:, None]  # change of the correct ones of class i
    inverse_predictions = ratio(np.ones(size), predictions)
    inverse_both = ratio(np.ones(size), cases + predictions)
    precision, _, f1 = estimate.of_classes
    fall_of_precision = precision * inverse_predictions  # if one image more is named so
    fall_of_f1 = f1 * inverse_both
    influences = (
        right * inverse_predictions[:, None]
        - fall_of_precision[None, :]
        + (shares @ fall_of_precision)[:, None],
        right * ratio(np.ones(size), cases)[:, None],
        2 * right * inverse_both[:, None] - fall_of_f1[None, :] + (shares @ fall_of_f1)[:, None],
    )
    found = []
    for influence in influences:
        squares = float((confusion * influence**2).sum())
        cubes = float((confusion * influence**3).sum())
        found.append(cubes / (6 * squares**1.5) if squares > 0 else 0.0)
    return np.array(found)


def _bca(values: Floats, estimate: float, acceleration: float) -> Interval:
    """Give the bias-corrected and accelerated ends from sorted resampled values."""
    count = len(values)
    below = np.searchsorted(values, estimate - 1e-12, side="left")
    up_to = np.searchsorted(values, estimate + 1e-12, side="right")
    # Ties count half; the share is kept off 0 and 1, whose quantiles are infinite.
    share = min(max((below + up_to) / (2 * count), 1 / count), 1 - 1 / count)
    bias = float(ndtri(share))
    ends = []
    for quantile in (-NORMAL_QUANTILE, NORMAL_QUANTILE):
        moved = bias + quantile
        level = float(ndtr(bias + moved / max(1 - acceleration * moved, 1e-6)))
        ends.append(float(np.quantile(values, level)))
    return Interval(low=min(ends[0], estimate), high=max(ends[1], estimate))


def _joined(confusion: Counts, of_classes: Floats, estimate: float, name: str) -> Interval:
    """Join the classes' Wilson intervals into one of their mean, as of independent shares."""
    score = name.removeprefix("macro_")
    intervals: list[Interval] = [getattr(one, score) for one in class_intervals(confusion)]
    size = len(confusion)
    down = math.sqrt(sum((v - i.low) ** 2 for v, i in zip(of_classes, intervals, strict=True)))
    up = math.sqrt(sum((i.high - v) ** 2 for v, i in zip(of_classes, intervals, strict=True)))
    return Interval(low=max(estimate - down / size, 0.0), high=min(estimate + up / size, 1.0))
