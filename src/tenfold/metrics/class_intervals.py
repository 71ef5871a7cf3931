"""Intervals of each class's scores, over test sets with as many images of each class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenfold.core.records.evaluation import ClassIntervals
from tenfold.metrics.classification import ratio
from tenfold.metrics.shares import f1_interval, wilson_interval

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


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
