"""Prediction sets that hold the true class as often as asked: split conformal prediction.

Whatever the model, if the images that the thresholds are found on and the image to come are drawn
alike and training saw neither, the set holds the true class at least as often as asked (Vovk,
Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, section 2.2 and, by class,
4.5). The score is the true class's probability, "LAC" (Sadinle, Lei and Wasserman, "Least ambiguous
set-valued classifiers with bounded error levels", 2019, arXiv 1609.00451): it gives the smallest
sets on average, and a set is a comparison with one number a class. What the other scores give:
docs/guarantees.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tenfold.core.records.guarantees import (
    AlsoChose,
    CalibratedOn,
    ClassCoverage,
    PredictionSets,
    Probabilities,
    SetsOnTest,
)
from tenfold.data.dataset import Labels
from tenfold.evaluation.intervals import wilson_interval

DEFAULT_COVERAGE = 0.95
LEAST_CLASS_IMAGES = 50
"""For a class to have a threshold of its own. From 19 on the promise would hold for 95%,
on average over all such calibrations; a single one of 50 images is off by 3 points (one standard
deviation), one of 19 by 5."""


def least_images(coverage: float) -> int:
    """Give the fewest images that a threshold can be found on: 19 for 95%."""
    return math.ceil(round(coverage / (1 - coverage), 9))


def calibrate_sets(
    probabilities: Probabilities,
    labels: Labels,
    *,
    coverage: float,
    calibrated_on: CalibratedOn,
    also_chose: Sequence[AlsoChose] = (),
) -> PredictionSets | None:
    """Find the thresholds of prediction sets, by class where a class has enough images.

    Parameters
    ----------
    probabilities
        Calibrated, shape (N, K), of images that training did not see.
    labels
        Their true classes, shape (N,).
    coverage
        How often the set is to hold the true class.
    calibrated_on, also_chose
        See `PredictionSets`.

    Returns
    -------
    PredictionSets or None
        None where there are too few images for any threshold, see `least_images`.
    """
    if len(labels) < least_images(coverage):
        return None
    class_count = probabilities.shape[1]
    counts = np.bincount(labels, minlength=class_count)
    has_own = counts >= max(LEAST_CLASS_IMAGES, least_images(coverage))
    of_truth = probabilities[np.arange(len(labels)), labels]
    is_of_rest = ~has_own[labels]
    # Together they are a group of its own, so the promise holds for the whole exactly as well.
    rest = of_truth[is_of_rest] if is_of_rest.sum() >= least_images(coverage) else of_truth
    least = np.full(class_count, _threshold(rest, coverage), np.float32)
    for one in np.flatnonzero(has_own):
        least[one] = _threshold(of_truth[labels == one], coverage)
    return PredictionSets(
        wanted_coverage=coverage,
        least_probabilities=tuple(float(str(value)) for value in least),
        calibration_counts=tuple(counts.tolist()),
        has_own_threshold=tuple(has_own.tolist()),
        calibrated_on=calibrated_on,
        also_chose=tuple(also_chose),
    )


def few_images_note(count: int, coverage: float) -> str:
    """Say why there are no prediction sets."""
    return (
        f"There are no prediction sets: {count or 'no'} images were held out of the training, and "
        f"for sets that hold the true class in {100 * coverage:g}% it takes "
        f"{least_images(coverage)}. Hold more out (training.validation_fraction), or ask for less "
        "(explain.set_coverage)."
    )


def conformal_quantile(scores: npt.NDArray[np.float32], share: float) -> np.float32:
    """Give the least score that this share of new ones does not exceed, as far as these tell.

    Parameters
    ----------
    scores
        Shape (N,), of at least `least_images` images.
    share
        From 0 to 1.
    """
    # Rounded, for (99 + 1) * 0.95 is a hair more than 95 in binary.
    wanted = math.ceil(round((len(scores) + 1) * share, 9))
    found: np.float32 = np.sort(scores)[wanted - 1]
    return found


def _threshold(of_truth: npt.NDArray[np.float32], coverage: float) -> np.float32:
    """Give the probability that enough of the true classes reach."""
    return -conformal_quantile(-of_truth, coverage)


def measure_sets(
    sets: PredictionSets, probabilities: Probabilities, labels: Labels
) -> SetsOnTest | None:
    """Count what the sets of test images hold; None without any.

    Parameters
    ----------
    sets
        Found on other images.
    probabilities
        Calibrated, shape (N, K).
    labels
        True classes, shape (N,).
    """
    if not len(labels):
        return None
    is_member = sets.members(probabilities)
    is_covered = is_member[np.arange(len(labels)), labels]
    sizes = is_member.sum(axis=1)
    covered = int(is_covered.sum())
    return SetsOnTest(
        count=len(labels),
        coverage=covered / len(labels),
        interval=wilson_interval(covered, len(labels)),
        mean_size=float(sizes.mean()),
        sizes=tuple(np.bincount(sizes)[1:].tolist()),
        classes=tuple(
            _class_coverage(is_covered[labels == one], sizes[labels == one])
            for one in range(probabilities.shape[1])
        ),
    )


def _class_coverage(
    is_covered: npt.NDArray[np.bool_], sizes: npt.NDArray[np.int64]
) -> ClassCoverage:
    count, covered = len(is_covered), int(is_covered.sum())
    if not count:
        return ClassCoverage(count=0, coverage=None, interval=None, mean_size=None)
    return ClassCoverage(
        count=count,
        coverage=covered / count,
        interval=wilson_interval(covered, count),
        mean_size=float(sizes.mean()),
    )
