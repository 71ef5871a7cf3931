"""What the evaluate stage measured on the test split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.records.calibration import CalibrationRecord
from tenfold.core.records.interval import Interval
from tenfold.core.records.record import Record
from tenfold.core.records.robustness import RobustnessRecord


class ClassScores(Record):
    """Scores of one class; a ratio with an empty denominator is 0 (as scikit-learn's default)."""

    name: str
    total_cases: int
    """Images whose true class this is."""
    total_predictions: int
    """Images predicted as this class."""
    correct: int
    precision: float
    recall: float
    f1: float


class ClassificationScores(Record):
    """Scores of a set of predictions (Table 2 of the report)."""

    count: int
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    balanced_accuracy: float
    """Mean recall of the classes that have images; macro recall counts the others as 0."""
    log_loss: float
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    """``confusion[i][j]``: images of class i predicted as class j."""


class ClassIntervals(Record):
    """Intervals of one class's scores; from 0 to 1 where nothing is known."""

    precision: Interval
    recall: Interval
    f1: Interval


class ScoreIntervals(Record):
    """Intervals of the scores, over test sets with as many images of each class.

    Accuracy, precision and recall of a class: Wilson; F1 of a class: Wilson, indirect; averages
    over classes: stratified BCa bootstrap. See `tenfold.metrics.intervals`.
    """

    level: float
    resamples: int
    """Of the bootstrap."""
    accuracy: Interval
    macro_precision: Interval
    macro_recall: Interval
    macro_f1: Interval
    balanced_accuracy: Interval
    classes: tuple[ClassIntervals, ...]
    """In the order of the scores' classes."""


class ViewsScores(Record):
    """Scores with test-time augmentation, which never stand in for the plain ones."""

    views: int
    """Predictions an image that were averaged, the plain one among them."""
    is_mirrored: bool
    is_shifted: bool
    """Whether views moved by a pixel are among them."""
    accuracy: float
    interval: Interval
    """Of the accuracy: 95%, Wilson."""


class EvaluateRecord(Record):
    """Scores on the test split, which the evaluate stage is the first to open.

    Beside this record: ``predictions.npz`` with ``probabilities`` (float32, N × classes;
    calibrated, if the train stage fitted a temperature) and ``labels`` (int64, N), in the order of
    the test split; and ``gallery.npz`` with the test images that the page shows, see
    `tenfold.metrics.gallery`; and ``explained_mistakes.npz``, the arrays of `ExplainedMistakes`, if
    there are mistakes.
    """

    weights: str
    scores: ClassificationScores
    intervals: ScoreIntervals
    calibration: CalibrationRecord
    with_views: ViewsScores | None
    """With test-time augmentation; None where there is but one view."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What convolutions and matrix products computed in."""
    robustness: RobustnessRecord | None
    """None where the settings ask for none."""
    images_per_second: float
    seconds: float


@dataclass(frozen=True, eq=False)
class ExplainedMistakes:
    """For each of the gallery's mistakes, where the network looked and what it was reminded of.

    Parameters
    ----------
    heats
        uint8, shape (N, H, W), 255 for the most heat; no rows if the network has no maps.
    neighbour_labels
        int64, shape (N, M): classes of the training images that the network finds most alike.
    neighbour_images
        uint8, shape (N, M, h, w, C).
    """

    heats: npt.NDArray[np.uint8]
    neighbour_labels: npt.NDArray[np.int64]
    neighbour_images: npt.NDArray[np.uint8]
