"""Intervals: Wilson's for shares, the stratified BCa bootstrap for the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from tenfold.core.record import Interval
from tenfold.core.records.evaluation import ClassificationScores, ClassIntervals, ScoreIntervals
from tenfold.evaluation.scores import Floats, ratio

RESAMPLES = 5000
"""Of which 125 lie beyond each end of a 95% interval: the ends are stable to a few per cent of the
interval's width (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ask for 1,000)."""

LEVEL = 0.95
"""How often an interval covers the truth, over many test sets."""
NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at ``1 - (1 - LEVEL) / 2``."""

MACRO_SCORES = ("macro_precision", "macro_recall", "macro_f1")

Counts = npt.NDArray[np.int64]


def score_intervals(
    scores: ClassificationScores, generator: np.random.Generator, *, resamples: int = RESAMPLES
) -> ScoreIntervals:
    """Give a 95% interval of every score, over test sets with as many images of each class.

    Accuracy and each class's recall: Wilson. Each class's precision and F1: Wilson's interval with
    an effective number of images. Averages over classes: stratified BCa bootstrap.

    Parameters
    ----------
    scores
        Of the test split.
    generator
        Of the bootstrap's resamples.
    resamples
        Of the bootstrap.
    """
    confusion = np.array(scores.confusion, dtype=np.int64)
    macro = macro_intervals(confusion, generator, resamples=resamples)
    present = sum(one.total_cases > 0 for one in scores.classes)
    return ScoreIntervals(
        level=LEVEL,
        resamples=resamples,
        accuracy=wilson_interval(int(confusion.diagonal().sum()), scores.count),
        macro_precision=macro["macro_precision"],
        macro_recall=macro["macro_recall"],
        macro_f1=macro["macro_f1"],
        balanced_accuracy=_scaled(macro["macro_recall"], len(scores.classes) / present),
        classes=class_intervals(confusion),
    )


def _scaled(interval: Interval, factor: float) -> Interval:
    """Balanced accuracy is macro recall over the classes that have test images."""
    return Interval(low=min(interval.low * factor, 1.0), high=min(interval.high * factor, 1.0))


def wilson_interval(part: int, whole: int, *, design_effect: float = 1.0) -> Interval:
    """Give Wilson's interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    It needs no large counts and never leaves 0 to 1: a class without a single error still has an
    interval of some width.

    Parameters
    ----------
    part, whole
        How many of how many; of none, nothing is known: 0 to 1.
    design_effect
        Variance of the share over that of one of independent images: below 1, the images tell as
        much as more of them would.
    """
    if whole < 1:
        return Interval(low=0.0, high=1.0)
    share, square, count = part / whole, NORMAL_QUANTILE**2, whole / design_effect
    centre = (share + square / (2 * count)) / (1 + square / count)
    variance = share * (1 - share) / count + square / (4 * count * count)
    half = NORMAL_QUANTILE / (1 + square / count) * math.sqrt(variance)
    # At the ends the two terms are equal but for rounding.
    low = 0.0 if part == 0 else max(centre - half, 0.0)
    high = 1.0 if part == whole else min(centre + half, 1.0)
    return Interval(low=low, high=high)


def f1_interval(
    correct: int, cases: int, predictions: int, *, design_effect: float = 1.0
) -> Interval:
    """Give an interval of one class's F1 by way of Wilson's.

    F1 is a growing function, ``2q / (1 + q)``, of the share q of right answers among all images
    that are of the class or were named it; Wilson's interval of q, so transformed, is the "Wilson
    indirect" interval of Lam, Gopal and Qian (arXiv 2309.14621), which unlike a bootstrap keeps its
    width where a class has no error.

    Parameters
    ----------
    correct, cases, predictions
        Images of the class that were named it, images of the class, images that were named it.
    design_effect
        Of the share, see `wilson_interval`.
    """
    share = wilson_interval(correct, cases + predictions - correct, design_effect=design_effect)
    return Interval(low=2 * share.low / (1 + share.low), high=2 * share.high / (1 + share.high))


def class_intervals(confusion: Counts) -> tuple[ClassIntervals, ...]:
    """Give 95% intervals of each class's precision, recall and F1.

    Recall is a share of a given number of images: Wilson's interval. The number of images that
    precision and F1 are shares of varies itself; since the images of each class are given, they
    vary less than a plain share would, by the design effect computed below. Wilson's
    interval is then that of the effective number of images (Korn and Graubard, Survey Methodology
    24, 1998). Without that it would hold the truth in up to 98% instead of 95%.

    Parameters
    ----------
    confusion
        int64, shape (K, K), rows are true classes.
    """
    correct, cases = confusion.diagonal(), confusion.sum(axis=1)
    predictions = confusion.sum(axis=0)
    of_precision, of_f1 = _design_effects(confusion)
    return tuple(
        ClassIntervals(
            precision=wilson_interval(c, p, design_effect=precision_effect),
            recall=wilson_interval(c, n),
            f1=f1_interval(c, n, p, design_effect=f1_effect),
        )
        for c, n, p, precision_effect, f1_effect in zip(
            correct.tolist(),
            cases.tolist(),
            predictions.tolist(),
            of_precision.tolist(),
            of_f1.tolist(),
            strict=True,
        )
    )


def _design_effects(confusion: Counts) -> tuple[Floats, Floats]:
    """Give the variance of each class's precision, and of the share behind its F1, over a share's.

    Both are ratios whose linearised variance (delta method) adds up over the classes of the images,
    each a multinomial row of the confusion matrix. 1 where the linearisation says nothing: without
    errors or without hits.

    Returns
    -------
    precision, f1
        Shape (K,).
    """
    correct, cases = confusion.diagonal().astype(np.float64), confusion.sum(axis=1)
    predictions = confusion.sum(axis=0).astype(np.float64)
    rates = ratio(confusion, np.broadcast_to(cases[:, None], confusion.shape))
    spread = cases[:, None] * rates * (1 - rates)  # variance of each count, (K, K)
    own = spread.diagonal()  # of the right ones of a class
    others = spread.sum(axis=0) - own  # of those wrongly named so
    precision = ratio(correct, predictions)
    precision_variance = ratio(own * (1 - precision) ** 2 + others * precision**2, predictions**2)
    union = cases + predictions - correct
    share = ratio(correct, union)
    share_variance = ratio(own + others * share**2, union**2)
    return (
        _effect(precision_variance, precision, predictions),
        _effect(share_variance, share, union),
    )


def _effect(variance: Floats, share: Floats, count: Floats) -> Floats:
    plain = ratio(share * (1 - share), count)
    effect = np.divide(variance, plain, out=np.ones(len(share)), where=plain > 0)
    return np.where(effect > 0, np.minimum(effect, 1.0), 1.0)


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
