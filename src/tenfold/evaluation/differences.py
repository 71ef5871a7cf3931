"""Whether two models differ: paired tests, folds and repeats."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenfold.core.record import Interval
from tenfold.core.records.evaluation import ClassificationScores, FoldScores
from tenfold.evaluation.intervals import LEVEL, RESAMPLES, score_intervals
from tenfold.evaluation.scores import Floats

_TAIL = (1 - LEVEL) / 2


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Give the exact two-sided p-value of McNemar's test.

    Only images that one classifier gets right and the other wrong can tell the two apart. If both
    are equally good, each such image is as likely the one's as the other's (McNemar 1947,
    doi:10.1007/BF02295996; its use for classifiers: Dietterich 1998,
    doi:10.1162/089976698300017197).

    Parameters
    ----------
    only_first, only_second
        Images that only the first, or only the second, classifier gets right.
    """
    from scipy.stats import binomtest  # slow to import

    discordant = only_first + only_second
    return 1.0 if discordant == 0 else float(binomtest(only_first, discordant).pvalue)


def paired_interval(
    differences: Floats, generator: np.random.Generator, *, resamples: int = RESAMPLES
) -> Interval:
    """Give a 95% interval of a mean difference by a paired bootstrap over the images.

    Images are drawn again with replacement, each with both classifiers' answers on it; the ends are
    percentiles (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Parameters
    ----------
    differences
        One an image, for example 1 where only the first is right, -1 where only the second is, and
        0 elsewhere. Shape (N,), N at least 1.
    generator
        Of the resamples.
    resamples
        Number of resamples.
    """
    values, counts = np.unique(differences, return_counts=True)
    # Few values occur, so drawing how often each of them is drawn is the same and much faster.
    drawn = generator.multinomial(len(differences), counts / len(differences), size=resamples)
    low, high = np.quantile(drawn @ values / len(differences), (0.025, 0.975))
    return Interval(low=float(low), high=float(high))


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Give p-values adjusted for being several: below 0.05 is rare for even one of equal pairs.

    Holm's step-down method (Holm 1979, https://www.jstor.org/stable/4615733).
    """
    count = len(p_values)
    adjusted = [0.0] * count
    highest = 0.0
    for rank, place in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        highest = max(highest, min((count - rank) * p_values[place], 1.0))
        adjusted[place] = highest
    return adjusted


def crossed_interval(differences: npt.NDArray[np.floating]) -> Interval:
    """Give a 95% interval of a mean difference, images and seeds both taken as draws.

    The variance of the mean is that over seeds (of the images' means) divided by their number,
    plus that over images (of the seeds' means) divided by theirs. The second holds a little of the
    first, so the interval errs on the wide side. Degrees of freedom after Satterthwaite (1946,
    doi:10.2307/3002019). One seed says nothing of seeds: then the images alone count.

    Parameters
    ----------
    differences
        Shape (seeds, images), for example 1 where only the first classifier is right, -1 where
        only the second is, 0 elsewhere; at least two images.
    """
    from scipy.stats import t as student_t  # slow to import

    seeds, images = differences.shape
    assert images >= 2
    parts = [(differences.mean(0).var(ddof=1) / images, images - 1)]
    if seeds > 1:
        parts.append((differences.mean(1).var(ddof=1) / seeds, seeds - 1))
    variance = float(sum(part for part, _ in parts))
    mean = float(differences.mean())
    if variance == 0:
        return Interval(low=mean, high=mean)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    reach = float(student_t.ppf(0.975, freedom)) * variance**0.5
    return Interval(low=mean - reach, high=mean + reach)


SCORE_NAMES = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
"""The scores of a fold that are averaged, in the order of Table 3."""


def fold_means(folds: Sequence[FoldScores]) -> dict[str, float]:
    """Give the mean of every score over the folds, each fold counting the same."""
    return {name: statistics.fmean(_values(folds, name)) for name in SCORE_NAMES}


def fold_standard_deviations(folds: Sequence[FoldScores]) -> dict[str, float]:
    """Give the sample standard deviation (divisor: folds - 1) of every score over the folds.

    It describes the folds seen; as folds share training images, it is no unbiased estimate of the
    spread between independent studies (Bengio and Grandvalet, JMLR 5, 2004).
    """
    assert len(folds) >= 2, "one fold has no spread"
    return {name: statistics.stdev(_values(folds, name)) for name in SCORE_NAMES}


def nadeau_bengio_intervals(folds: Sequence[FoldScores]) -> dict[str, Interval]:
    """Give a 95% interval of every score's mean that accounts for overlapping training sets.

    Two folds of k share most of their training images, so their scores are not independent and the
    usual ``s² / k`` is too small. The corrected variance is ``(1/k + n_test / n_train) s²``, with
    Student's quantile of k - 1 degrees (Nadeau and Bengio, Machine Learning 52, 2003,
    doi:10.1023/A:1024068626366). It is about models trained on as many images as a fold trains on.

    Parameters
    ----------
    folds
        At least 2, none of them trained on images that it was scored on.
    """
    from scipy.stats import t as student_t  # slow to import

    count = len(folds)
    assert count >= 2, "one fold has no spread"
    tested = statistics.fmean(fold.validation_count for fold in folds)
    trained = statistics.fmean(fold.train_count for fold in folds)
    quantile = float(student_t.ppf(1 - _TAIL, count - 1))
    intervals = {}
    for name in SCORE_NAMES:
        values = _values(folds, name)
        mean, deviation = statistics.fmean(values), statistics.stdev(values)
        half = quantile * deviation * math.sqrt(1 / count + tested / trained)
        intervals[name] = Interval(low=max(mean - half, 0.0), high=min(mean + half, 1.0))
    return intervals


def fold_intervals(
    folds: Sequence[FoldScores], pooled: ClassificationScores, generator: np.random.Generator
) -> dict[str, Interval]:
    """Give a 95% interval of every score's mean, by the folds' spread and by their images.

    The variance between a few folds is hardly known: two of equal score would leave no interval at
    all. All out-of-fold predictions together are as many as the images, and their interval as one
    test set is one of the cross-validated score too (Bayle, Bayle, Janson and Mackey,
    "Cross-validation Confidence Intervals for Test Error", NeurIPS 2020, arXiv 2007.12671). So each
    side reaches as far as the further one of that and of `nadeau_bengio_intervals`.

    Parameters
    ----------
    folds
        At least 2, none of them trained on images that it was scored on.
    pooled
        Scores of all out-of-fold predictions together.
    generator
        Of the resamples of `score_intervals`.
    """
    spread, images = nadeau_bengio_intervals(folds), score_intervals(pooled, generator)
    means, intervals = fold_means(folds), {}
    for name in SCORE_NAMES:
        mean, whole = means[name], float(getattr(pooled, name))
        of_images: Interval = getattr(images, name)
        below = max(mean - spread[name].low, whole - of_images.low)
        above = max(spread[name].high - mean, of_images.high - whole)
        intervals[name] = Interval(low=max(mean - below, 0.0), high=min(mean + above, 1.0))
    return intervals


def _values(folds: Sequence[FoldScores], name: str) -> list[float]:
    return [float(getattr(fold, name)) for fold in folds]


@dataclass(frozen=True)
class Spread:
    """What several runs say about one score.

    The formulas are those of independent, normally distributed values: Student (1908,
    doi:10.2307/2331554) for the mean, chi-square for the standard deviation. Runs that share a test
    split are independent given it, so all of this is about other seeds, not other test images.

    Parameters
    ----------
    mean, interval
        The mean, and where it would lie over endless seeds, 95%.
    deviation, deviation_interval
        Sample standard deviation (divisor: runs - 1), and its own 95% interval.
    least_difference
        What two more single runs differ by at most in 95% of pairs.
    """

    mean: float
    interval: Interval
    deviation: float
    deviation_interval: Interval
    least_difference: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Measure it from one score of each run, 0 to 1; at least two runs."""
        from scipy.stats import chi2  # slow to import
        from scipy.stats import t as student_t  # slow to import

        count = len(values)
        assert count >= 2, "one run has no spread"
        mean, deviation = statistics.fmean(values), statistics.stdev(values)
        freedom = count - 1
        quantile = float(student_t.ppf(1 - _TAIL, freedom))
        half = quantile * deviation / math.sqrt(count)
        return cls(
            mean=mean,
            interval=Interval(low=max(mean - half, 0.0), high=min(mean + half, 1.0)),
            deviation=deviation,
            deviation_interval=Interval(
                low=deviation * math.sqrt(freedom / float(chi2.ppf(1 - _TAIL, freedom))),
                high=deviation * math.sqrt(freedom / float(chi2.ppf(_TAIL, freedom))),
            ),
            # The difference of two runs has twice the variance of one.
            least_difference=quantile * math.sqrt(2) * deviation,
        )
