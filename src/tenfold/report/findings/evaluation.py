"""What the test scores say: facts for the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.records.evaluation import (
    ClassificationScores,
    ClassScores,
    EvaluateRecord,
    ExplainedMistakes,
    PartScores,
)
from tenfold.evaluation.scores import Gallery
from tenfold.report.formats import FEW_IMAGES

MACRO_SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
SCORE_TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Precision (macro)",
    "macro_recall": "Recall (macro)",
    "macro_f1": "F1 (macro)",
}

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def honest_part(record: EvaluateRecord) -> PartScores | None:
    """Give the scores to lead with where series have images in both splits; None for the plain.

    Those on test images whose series training has no image of, if these are not too few.
    """
    part = None if record.series is None else record.series.held_out
    return part if part is not None and part.images >= FEW_IMAGES else None


def guessing_accuracy(scores: ClassificationScores) -> float:
    """Give the accuracy of always naming the largest class."""
    return max((c.total_cases for c in scores.classes), default=0) / max(scores.count, 1)


def against_guessing(record: EvaluateRecord) -> Literal["better", "worse", "unclear"]:
    """Compare the accuracy's 95% interval with always naming the largest class."""
    baseline, ends = guessing_accuracy(record.scores), record.intervals.accuracy
    if ends.low > baseline:
        return "better"
    return "worse" if ends.high < baseline else "unclear"


def untested_classes(evaluate: EvaluateRecord) -> int:
    """Count the classes without a test image, which macro scores count as 0."""
    return sum(not one.total_cases for one in evaluate.scores.classes)


_LEANING_RATIO = 1.25
"""Predictions over cases of a class (or the inverse) from which on the model leans to (from) it."""


def leaning(scores: ClassificationScores) -> tuple[ClassScores | None, ClassScores | None]:
    """Give the class named most above its share and the one named most below it, if any."""
    # Three standard deviations of a count: small classes differ from their share by chance.
    clear = [
        c
        for c in scores.classes
        if abs(c.total_predictions - c.total_cases) > 3 * math.sqrt(c.total_cases) > 0
    ]
    over = max(clear, key=lambda c: c.total_predictions / c.total_cases, default=None)
    under = min(clear, key=lambda c: c.total_predictions / c.total_cases, default=None)
    if over and over.total_predictions < _LEANING_RATIO * over.total_cases:
        over = None
    if under and under.total_predictions * _LEANING_RATIO > under.total_cases:
        under = None
    return over, under


@dataclass(frozen=True)
class ConfusedPair:
    """How often images of one class are taken for another."""

    true_name: str
    predicted_name: str
    images: int
    share: float
    """Of all images of the true class."""
    class_images: int
    """Of the true class."""


def confused_pairs(scores: ClassificationScores, limit: int = 5) -> list[ConfusedPair]:
    """Give the most frequent confusions, the most frequent first; ties by class order."""
    pairs = [
        ConfusedPair(
            scores.classes[i].name,
            scores.classes[j].name,
            images,
            images / max(sum(row), 1),
            sum(row),
        )
        for i, row in enumerate(scores.confusion)
        for j, images in enumerate(row)
        if i != j and images > 0
    ]
    return sorted(pairs, key=lambda pair: -pair.images)[:limit]


def recall_extremes(scores: ClassificationScores) -> tuple[ClassScores, ClassScores]:
    """Give the tested classes with the lowest and the highest recall."""
    tested = [one for one in scores.classes if one.total_cases]
    return min(tested, key=lambda one: one.recall), max(tested, key=lambda one: one.recall)


def weakest_first(evaluate: EvaluateRecord) -> list[ClassScores]:
    """Sort the classes that have test images by F1, the lowest first; ties by recall, then name."""
    present = [scores for scores in evaluate.scores.classes if scores.total_cases > 0]
    return sorted(present, key=lambda scores: (scores.f1, scores.recall, scores.name))


def imperfect_classes(record: EvaluateRecord) -> list[ClassScores]:
    """Give the tested classes with an F1 below 1, the lowest first."""
    return [one for one in weakest_first(record) if one.f1 < 1]


@dataclass(frozen=True)
class WeakClass:
    """A class with a low F1, and the classes that it is confused with, the most frequent first."""

    scores: ClassScores
    taken_for: tuple[tuple[str, int], ...]
    """Classes that its images were taken for, and how many."""
    mistaken: tuple[tuple[str, int], ...]
    """Classes whose images were taken for it, and how many."""

    @property
    def missed(self) -> int:
        """Images of the class that were taken for another one."""
        return self.scores.total_cases - self.scores.correct

    @property
    def wrongly_named(self) -> int:
        """Images of other classes that were taken for this one."""
        return self.scores.total_predictions - self.scores.correct


def weakest_classes(record: EvaluateRecord) -> list[WeakClass]:
    """Give the classes with the lowest F1: two, or one where there are few classes."""
    confusion, names = record.scores.confusion, [c.name for c in record.scores.classes]
    limit = 2 if len(weakest_first(record)) >= 5 else 1
    found = []
    for weak in imperfect_classes(record)[:limit]:
        place = names.index(weak.name)
        column = [row[place] for row in confusion]
        found.append(
            WeakClass(weak, _others(confusion[place], names, place), _others(column, names, place))
        )
    return found


def _others(images: Sequence[int], names: Sequence[str], place: int) -> tuple[tuple[str, int], ...]:
    others = [
        (name, n) for j, (name, n) in enumerate(zip(names, images, strict=True)) if j != place
    ]
    return tuple(sorted((one for one in others if one[1]), key=lambda one: -one[1]))


SURE = 0.9
"""A prediction of at least this probability is called sure."""


@dataclass(frozen=True)
class Mistakes:
    """How many images the model is wrong about, and how many of them it is sure about."""

    count: int
    sure: int


def mistakes(probabilities: Probabilities, labels: Labels) -> Mistakes:
    """Count all mistakes, and the sure ones."""
    is_wrong = probabilities.argmax(axis=1) != labels
    is_sure = probabilities.max(axis=1) >= SURE
    return Mistakes(int(is_wrong.sum()), int((is_wrong & is_sure).sum()))


@dataclass(frozen=True)
class Likeness:
    """Which class the nearest training images of shown mistakes bear more often.

    Parameters
    ----------
    mistakes
        How many are shown.
    of_named, of_label
        How many have more neighbours of the class that the model named, and of the label.
    """

    mistakes: int
    of_named: int
    of_label: int


def likeness(
    gallery: Gallery,
    explained: ExplainedMistakes,
    probabilities: Probabilities,
    labels: Labels,
) -> Likeness | None:
    """Compare the labels of each shown mistake's neighbours; None if there are no neighbours."""
    near = explained.neighbour_labels
    if not near.size:
        return None
    named = probabilities[gallery.mistakes].argmax(axis=1)
    votes_for_named = (near == named[:, None]).sum(axis=1)
    votes_for_label = (near == labels[gallery.mistakes][:, None]).sum(axis=1)
    return Likeness(
        len(near),
        int((votes_for_named > votes_for_label).sum()),
        int((votes_for_label > votes_for_named).sum()),
    )


@dataclass(frozen=True)
class Doubts:
    """The images that the model is least certain of: highest probability, and how many right."""

    count: int
    highest: float
    right: int


def doubts(gallery: Gallery, probabilities: Probabilities, labels: Labels) -> Doubts | None:
    """Give how unsure the least certain images are; None if none are shown."""
    shown = probabilities[gallery.uncertain]
    if not len(shown):
        return None
    right = int((shown.argmax(axis=1) == labels[gallery.uncertain]).sum())
    return Doubts(len(shown), float(shown.max()), right)
