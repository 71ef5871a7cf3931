"""How sure the scores of a test split are."""

from __future__ import annotations

import numpy as np

from tenfold.core.record import Interval
from tenfold.core.records.evaluation import ClassificationScores, ScoreIntervals
from tenfold.metrics.class_intervals import class_intervals
from tenfold.metrics.shares import LEVEL, wilson_interval
from tenfold.metrics.stratified_bootstrap import RESAMPLES, macro_intervals


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
