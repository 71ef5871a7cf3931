"""What was measured of a trained model: scores with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.record import Interval, Record


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
    over classes: stratified BCa bootstrap. See `tenfold.evaluation.intervals`.
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
    is_cropped: bool = False
    """Whether its middle, enlarged, is a view."""
    """Whether views moved by a pixel are among them."""
    accuracy: float
    interval: Interval
    """Of the accuracy: 95%, Wilson."""


class ReliabilityBin(Record):
    """Images of about the same probability of their predicted class."""

    count: int
    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float
    interval: Interval
    """Of the accuracy: 95%, Wilson."""


class CalibrationScores(Record):
    """How far probabilities are from what happens."""

    expected_calibration_error: float
    """Mean over the images of ``|accuracy - confidence|`` of their bin."""
    log_loss: float
    brier_score: float
    """Mean of the squared distances between probabilities and truth, summed over the classes: 0 is
    best, 2 is worst (Brier 1950)."""
    mean_confidence: float
    bins: tuple[ReliabilityBin, ...]
    """From the least to the most confident; as many images in each."""


class CoveragePoint(Record):
    """How often the model is right on the images that it is surest of."""

    coverage: float
    """Share of the test images, the surest first."""
    accuracy: float
    least_confidence: float
    """The lowest probability of a predicted class among them."""


class CalibrationRecord(Record):
    """Calibration on the test split, before and after temperature scaling."""

    temperature: float | None
    """What the logits are divided by, fitted on validation images; None where there were none."""
    before: CalibrationScores
    after: CalibrationScores
    """Of the probabilities that are stored and used; the same as before without a temperature."""
    chance_calibration_error: float
    """95% quantile of the expected calibration error that a perfectly calibrated model with the
    same confidences would show on so many images."""
    coverage: tuple[CoveragePoint, ...]


class CorruptionScores(Record):
    """Accuracy under one disturbance at growing strength."""

    name: str
    description: str
    """What is done to the images, in words."""
    unit: str
    """What the strengths measure."""
    strengths: tuple[float, ...]
    accuracies: tuple[float, ...]
    """One a strength."""
    fall: float
    """Accuracy on the undisturbed images less the mean over the strengths."""
    fall_interval: Interval
    """95%, by a paired bootstrap over the images."""


class RobustnessRecord(Record):
    """Accuracy on disturbed test images."""

    count: int
    """Images used: a stratified sample of the test split, or all of it."""
    accuracy: float
    """On the same images undisturbed."""
    interval: Interval
    """Of that accuracy: 95%, Wilson."""
    corruptions: tuple[CorruptionScores, ...]
    seconds: float


class PartScores(Record):
    """Scores on a part of the test images."""

    images: int
    accuracy: float
    interval: Interval
    """Of the accuracy: 95%, Wilson."""
    balanced_accuracy: float
    macro_f1: float
    """Over the classes that these images show or were taken for."""


class SeriesScores(Record):
    """Scores with and without test images whose series (or group) training has images of."""

    held_out: PartScores | None
    """On test images of whose series training has none; None where there are none."""
    shared: PartScores
    """On the others."""
    p_value: float | None = None
    """Of a difference between the two accuracies, by `tenfold.evaluation.series_difference`; None
    where there are too few images or series, and in records that were made before there was one."""


class EvaluateRecord(Record):
    """Scores on the test split, which the evaluate stage is the first to open.

    Beside this record: ``predictions.npz`` with ``probabilities`` (float32, N × classes;
    calibrated, if the train stage fitted a temperature) and ``labels`` (int64, N), in the order of
    the test split; and ``gallery.npz`` with the test images that the page shows, see
    `tenfold.evaluation.scores`; and ``explained_mistakes.npz``, the arrays of `ExplainedMistakes`,
    if there are mistakes.
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
    series: SeriesScores | None = None
    """None where no series or group has images in both splits."""


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


class FoldScores(Record):
    """One fold. Folds count from 1."""

    fold: int
    train_count: int
    validation_count: int
    epochs: int
    """Epochs begun; how many a time budget or a least number of steps makes is known afterwards."""
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    seconds: float


class ProtocolRecord(Record):
    """All folds of one protocol, with their mean and standard deviation (Table 3 of the report)."""

    name: str
    """``fresh`` (a new model a fold) or ``warm-start`` (every fold starts from the trained
    model)."""
    is_leaky: bool
    """Whether the model had seen a fold's validation images before the fold began."""
    description: str
    epochs: int
    """Of a fold, the median."""
    batch_size: int
    optimizer: str
    augmentation: str
    folds: tuple[FoldScores, ...]
    means: dict[str, float]
    """Mean over the folds of accuracy, macro_precision, macro_recall and macro_f1."""
    standard_deviations: dict[str, float]
    """Sample standard deviation (divisor: folds - 1) of the same scores."""
    intervals: dict[str, Interval]
    """95% interval of each mean: after Nadeau and Bengio, and no narrower than that of all
    out-of-fold predictions as one test set, see `tenfold.evaluation.differences`; empty for a leaky
    protocol, whose scores estimate nothing about new images."""
    seconds: float


class CrossValidateRecord(Record):
    """K-fold cross-validation on the training split.

    Beside this record: ``out_of_fold_PROTOCOL.npz`` with ``probabilities`` (float32, N × classes,
    each row by a model whose fold did not train on it) and ``fold`` (int64, N, counted from 1); and
    the models of the ``fresh`` folds, see `tenfold.study.stages.stage`. An image that
    validated in no fold has fold 0 and probabilities that are not numbers.
    """

    folds: int
    """0 where the images allow no cross-validation; then there are no protocols either."""
    protocols: tuple[ProtocolRecord, ...]
    notes: tuple[str, ...] = ()
    """What is otherwise than asked, and why."""


class ComparedRun(Record):
    """One study of a comparison."""

    name: str
    """Shortest end of the run folder's path that tells it from the others."""
    accuracy: float
    interval: Interval
    """Of the accuracy: 95%, Wilson."""
    balanced_accuracy: float
    macro_f1: float
    model: str
    """Name of the architecture."""


class ComparedPair(Record):
    """Two studies, image by image."""

    first: str
    second: str
    only_first: int
    """Images that only the first gets right."""
    only_second: int
    difference: float
    """Accuracy of the first less that of the second."""
    interval: Interval
    """Of the difference: 95%, paired bootstrap over the images; for this pair alone."""
    p_value: float
    """Exact McNemar test, two-sided."""
    adjusted_p_value: float
    """After Holm's correction for the number of pairs."""


class Comparison(Record):
    """Studies on one test split, and every pair of them."""

    title: str
    """Of the data set."""
    test_count: int
    test_sha256: str
    is_imbalanced: bool
    """Whether the classes' test images differ in number so much that accuracy hides classes."""
    runs: tuple[ComparedRun, ...]
    """In the order given."""
    pairs: tuple[ComparedPair, ...]


class RepeatedRun(Record):
    """One training and its scores on the test split. Runs count from 1, the study's own."""

    run: int
    seed: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    training_seconds: float


class RepeatsRecord(Record):
    """All runs, their mean and their spread. Each score by its name in `RepeatedRun`.

    Beside this record: ``run-2``, ``run-3`` and so on, each with ``train`` and ``evaluate`` as in
    the run folder itself.
    """

    test_count: int
    """Images of the one test split that all runs were scored on."""
    is_imbalanced: bool
    """Whether the classes differ in size so much that accuracy hides the small ones."""
    has_time_budget: bool
    """Whether training ended by the clock, so that runs also differ in how far they came."""
    runs: tuple[RepeatedRun, ...]
    """In order, two at least."""
    means: dict[str, float]
    intervals: dict[str, Interval]
    """95% interval of each mean over all seeds, for this test split: Student's."""
    standard_deviations: dict[str, float]
    """Sample standard deviation (divisor: runs - 1)."""
    deviation_intervals: dict[str, Interval]
    """95% interval of each standard deviation, from the chi-square distribution."""
    least_differences: dict[str, float]
    """How much two single trainings of one and the same setting differ at most in 95% of pairs."""
    evaluate_digest: str
    """Of the study's own evaluate stage: another one makes this record stale."""
