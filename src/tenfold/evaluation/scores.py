"""Scores of a classifier, how uneven its classes are, and the images that show its mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, TrainingError
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import ClassificationScores, ClassScores
from tenfold.data.dataset import Labels
from tenfold.data.rebalancing import UNEVEN_RATIO

Floats = npt.NDArray[np.float64]
Probabilities = npt.NDArray[np.floating[Any]]
"""Shape (N, classes)."""

# float16 probabilities of a thousand classes are this far from 1 in sum; logits are farther.
_SUM_TOLERANCE = 1e-2


def classification_scores(
    labels: Labels,
    probabilities: Probabilities,
    class_names: Sequence[str],
) -> ClassificationScores:
    """Score predictions; the predicted class is the most probable, the first one of a tie.

    All classes count in the macro averages, those without images or predictions too, and a ratio
    with an empty denominator is 0: scikit-learn with the full list of ``labels`` and
    ``zero_division=0``. Averages over the classes present would change their meaning with the data.

    Parameters
    ----------
    labels
        True classes, int64, shape (N,).
    probabilities
        Float, shape (N, K).
    class_names
        The K classes.

    Raises
    ------
    DataError
        If there are no images, or labels, probabilities and classes do not fit each other.
    TrainingError
        If a probability is not a finite number, as a diverged model gives.
    """
    _check(labels, probabilities, len(class_names))
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), len(class_names))
    correct = confusion.diagonal()
    cases, predictions = confusion.sum(axis=1), confusion.sum(axis=0)
    precision = ratio(correct, predictions)
    recall = ratio(correct, cases)
    # 2PR / (P + R), written so that it has one denominator.
    f1 = ratio(2 * correct, cases + predictions)
    return ClassificationScores(
        count=len(labels),
        accuracy=float(correct.sum() / len(labels)),
        macro_precision=float(precision.mean()),
        macro_recall=float(recall.mean()),
        macro_f1=float(f1.mean()),
        balanced_accuracy=float(recall[cases > 0].mean()),
        log_loss=mean_log_loss(labels, probabilities),
        classes=tuple(
            ClassScores(
                name=name,
                total_cases=int(cases[index]),
                total_predictions=int(predictions[index]),
                correct=int(correct[index]),
                precision=float(precision[index]),
                recall=float(recall[index]),
                f1=float(f1[index]),
            )
            for index, name in enumerate(class_names)
        ),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def confusion_matrix(
    labels: Labels, predicted: npt.NDArray[np.int64], class_count: int
) -> npt.NDArray[np.int64]:
    """Count images by true class (row) and predicted class (column), shape (K, K)."""
    pairs = labels * class_count + predicted
    return np.bincount(pairs, minlength=class_count**2).reshape(class_count, class_count)


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    """Divide numbers of one shape; what is of nothing is 0."""
    result: Floats = np.zeros(part.shape)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def mean_log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Give the mean of -log p of the true class, p kept off 0 by its type's epsilon.

    The bounds are scikit-learn's, so that one confident mistake does not make the mean infinite.
    """
    epsilon = float(np.finfo(probabilities.dtype).eps)
    true_class = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(true_class.clip(epsilon, 1 - epsilon)).mean())


def _check(
    labels: Labels,
    probabilities: Probabilities,
    class_count: int,
) -> None:
    if probabilities.shape != (len(labels), class_count):
        raise DataError(
            f"{len(labels)} labels and {class_count} classes need probabilities of the shape "
            f"({len(labels)}, {class_count}), got {probabilities.shape}."
        )
    if len(labels) == 0:
        raise DataError("There are no images to score. The split is empty; give it images.")
    if labels.min() < 0 or labels.max() >= class_count:
        raise DataError(
            f"Labels must lie between 0 and {class_count - 1}, got {labels.min()} to "
            f"{labels.max()}."
        )
    is_bad = ~np.isfinite(probabilities).all(axis=1)
    if is_bad.any():
        raise TrainingError(
            f"The model gave probabilities that are not finite numbers for {is_bad.sum()} of "
            f"{len(labels)} images (the first: image {is_bad.argmax()}). Its training diverged; "
            "train again with a smaller learning rate (training.learning_rate)."
        )
    is_off = abs(probabilities.sum(axis=1, dtype=np.float64) - 1) > _SUM_TOLERANCE
    is_off |= (probabilities < 0).any(axis=1)
    if is_off.any():
        raise DataError(
            f"Probabilities must be at least 0 and add up to 1 for each image; they do not for "
            f"{is_off.sum()} of {len(labels)} images (the first: image {is_off.argmax()}). "
            "Logits have to go through a softmax first."
        )


@dataclass(frozen=True)
class Imbalance:
    """How unevenly images are spread over classes.

    Parameters
    ----------
    ratio
        Largest over smallest class; infinite where a class has no image.
    effective_classes
        The number of equally large classes that would be as hard to guess: the exponential of the
        shares' entropy (Hill 1973, doi:10.2307/1934352).
    """

    ratio: float
    effective_classes: float

    @classmethod
    def of(cls, counts: Sequence[int]) -> Imbalance:
        """Measure it from the number of images of each class."""
        total, smallest = sum(counts), min(counts)
        shares = [number / total for number in counts if number] if total else []
        return cls(
            max(counts) / smallest if smallest else math.inf,
            math.exp(-sum(share * math.log(share) for share in shares)),
        )

    @property
    def is_uneven(self) -> bool:
        """Whether accuracy may no longer stand alone."""
        return self.ratio >= UNEVEN_RATIO

    @property
    def has_empty_class(self) -> bool:
        """Whether a class has no image."""
        return math.isinf(self.ratio)


def is_imbalanced(acquire: AcquireRecord) -> bool:
    """Say whether the training or the test split is imbalanced."""
    splits = [counts for counts in (acquire.train_counts, acquire.test_counts) if any(counts)]
    return any(Imbalance.of(counts).is_uneven for counts in splits)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Give Spearman's rank correlation; None where a side is all equal or there are under 4 values.

    Ties share their mean rank (Spearman 1904, doi:10.2307/1412159).
    """
    from scipy.stats import spearmanr

    if len(first) < 4 or min(first) == max(first) or min(second) == max(second):
        return None
    return float(spearmanr(first, second).statistic)


_SHOWN = 24
_PAIRS = 5
_IMAGES_A_PAIR = 9


@dataclass(frozen=True, eq=False)
class Gallery:
    """Indices of test images worth a look.

    Parameters
    ----------
    mistakes
        Wrongly predicted, the most confident first.
    uncertain
        With the lowest probability of the predicted class, the lowest first.
    pairs
        Most frequent confusions, shape (P, 2): true class, predicted class.
    pair_images
        Images of each confusion, the most confident first, shape (P, 9); -1 where there are fewer.
    """

    mistakes: npt.NDArray[np.int64]
    uncertain: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]
    pair_images: npt.NDArray[np.int64]

    def shown(self) -> npt.NDArray[np.int64]:
        """Give every image that occurs, once, in ascending order."""
        everything = np.concatenate([self.mistakes, self.uncertain, self.pair_images.ravel()])
        return np.unique(everything[everything >= 0])


def choose_gallery(probabilities: Probabilities, labels: Labels) -> Gallery:
    """Choose the most confident mistakes, the least certain images and the most confused pairs.

    Parameters
    ----------
    probabilities
        Shape (N, K).
    labels
        True classes, shape (N,).
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    by_confidence = np.argsort(-confidence, kind="stable")
    wrong = by_confidence[(predicted != labels)[by_confidence]]
    confusion = confusion_matrix(labels, predicted, probabilities.shape[1])
    np.fill_diagonal(confusion, 0)
    most = np.argsort(-confusion.ravel(), kind="stable")[:_PAIRS]
    pairs = np.array(
        [divmod(int(place), len(confusion)) for place in most if confusion.ravel()[place] > 0],
        dtype=np.int64,
    ).reshape(-1, 2)
    pair_images = np.full((len(pairs), _IMAGES_A_PAIR), -1, dtype=np.int64)
    for row, (true, other) in enumerate(pairs):
        members = wrong[(labels[wrong] == true) & (predicted[wrong] == other)][:_IMAGES_A_PAIR]
        pair_images[row, : len(members)] = members
    return Gallery(
        mistakes=wrong[:_SHOWN],
        uncertain=np.argsort(confidence, kind="stable")[:_SHOWN],
        pairs=pairs,
        pair_images=pair_images,
    )
