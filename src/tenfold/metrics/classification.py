"""Classification scores from predicted probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, log_loss

from tenfold.core.errors import DataError, TrainingError
from tenfold.core.records.evaluate import ClassificationScores, ClassScores


def classification_scores(
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.floating],
    class_names: tuple[str, ...],
) -> ClassificationScores:
    """Score predictions, the most probable class being the prediction.

    Macro scores are means over all classes, one that no image shows included (with 0): the same
    model must not score differently because a class is absent from a test set's labels.

    Parameters
    ----------
    labels
        True classes, int64, shape (N,).
    probabilities
        Shape (N, K), rows sum to 1.
    class_names
        K names.

    Raises
    ------
    DataError
        If there is nothing to score, or shapes do not fit each other.
    TrainingError
        If a probability is not a number: the model diverged.
    """
    classes = len(class_names)
    if len(labels) == 0:
        raise DataError("There are no images to score: the split is empty.")
    if probabilities.shape != (len(labels), classes):
        raise DataError(
            f"{len(labels)} labels and {classes} classes need probabilities of shape "
            f"({len(labels)}, {classes}), got {probabilities.shape}."
        )
    if not np.isfinite(probabilities).all():
        raise TrainingError(
            "The model's probabilities are not numbers: its training diverged. Lower the learning "
            "rate (training.learning_rate)."
        )
    confusion = confusion_matrix(labels, probabilities.argmax(1), labels=range(classes))
    correct = confusion.diagonal()
    cases, predictions = confusion.sum(1), confusion.sum(0)
    precision = _ratio(correct, predictions)
    recall = _ratio(correct, cases)
    f1 = _ratio(2 * correct, cases + predictions)
    wide = probabilities.astype(np.float64)
    wide /= wide.sum(1, keepdims=True)  # float32 rows sum to 1 only within 1e-7
    return ClassificationScores(
        count=len(labels),
        accuracy=float(correct.sum() / len(labels)),
        macro_precision=float(precision.mean()),
        macro_recall=float(recall.mean()),
        macro_f1=float(f1.mean()),
        log_loss=float(log_loss(labels, wide, labels=range(classes))),
        classes=tuple(
            ClassScores(
                name=name,
                total_cases=int(cases[k]),
                total_predictions=int(predictions[k]),
                correct=int(correct[k]),
                precision=float(precision[k]),
                recall=float(recall[k]),
                f1=float(f1[k]),
            )
            for k, name in enumerate(class_names)
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
    )


def _ratio(
    numerator: npt.NDArray[np.int64], denominator: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Divide; 0 where the denominator is 0, as scikit-learn's ``zero_division=0``."""
    return np.divide(
        numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0
    )
