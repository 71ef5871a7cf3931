"""What the cross-validate stage measured on the training split."""

from __future__ import annotations

from tenfold.core.records.interval import Interval
from tenfold.core.records.record import Record


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
    """95% interval of each mean, corrected for overlapping training sets after Nadeau and Bengio;
    empty for a leaky protocol, whose scores estimate nothing about new images."""
    seconds: float


class CrossValidateRecord(Record):
    """K-fold cross-validation on the training split.

    Beside this record: ``out_of_fold_PROTOCOL.npz`` with ``probabilities`` (float32, N × classes,
    each row by a model whose fold did not train on it) and ``fold`` (int64, N, counted from 1); and
    the models of the ``fresh`` folds, see `tenfold.fold_models`. An image that validated in no fold
    has fold 0 and probabilities that are not numbers.
    """

    folds: int
    """0 where the images allow no cross-validation; then there are no protocols either."""
    protocols: tuple[ProtocolRecord, ...]
    notes: tuple[str, ...] = ()
    """What is otherwise than asked, and why."""
