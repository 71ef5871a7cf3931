"""What the evaluate stage measured on the test split."""

from __future__ import annotations

from tenfold.core.records.record import Record


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
    log_loss: float
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    """``confusion[i][j]``: images of class i predicted as class j."""


class EvaluateRecord(Record):
    """Scores on the test split, which only the evaluate stage opens.

    Beside this record: ``predictions.npz`` with ``probabilities`` (float32, N × classes) and
    ``labels`` (int64, N), in the order of the test split.
    """

    weights: str
    scores: ClassificationScores
    images_per_second: float
    seconds: float
