"""What the test scores show: weakest classes, confused pairs, and how good guessing would be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tenfold.core.records.evaluation import ClassificationScores, ClassScores, EvaluateRecord
from tenfold.reporting.measures import weakest_first

LEANING_RATIO = 1.25
"""Predictions over cases of a class (or the inverse) from which on the model leans to (from) it."""


@dataclass(frozen=True)
class ConfusedPair:
    """How often images of one class are taken for another."""

    true_name: str
    predicted_name: str
    images: int
    share: float
    """Of all images of the true class."""


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


def guessing_accuracy(scores: ClassificationScores) -> float:
    """Give the accuracy of always naming the largest class."""
    return max((c.total_cases for c in scores.classes), default=0) / max(scores.count, 1)


def against_guessing(record: EvaluateRecord) -> Literal["better", "worse", "unclear"]:
    """Compare the accuracy's 95% interval with always naming the largest class."""
    baseline, ends = guessing_accuracy(record.scores), record.intervals.accuracy
    if ends.low > baseline:
        return "better"
    return "worse" if ends.high < baseline else "unclear"


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
    if over and over.total_predictions < LEANING_RATIO * over.total_cases:
        over = None
    if under and under.total_predictions * LEANING_RATIO > under.total_cases:
        under = None
    return over, under


def confused_pairs(scores: ClassificationScores, limit: int = 5) -> list[ConfusedPair]:
    """Give the most frequent confusions, the most frequent first; ties by class order."""
    pairs = [
        ConfusedPair(
            scores.classes[i].name, scores.classes[j].name, images, images / max(sum(row), 1)
        )
        for i, row in enumerate(scores.confusion)
        for j, images in enumerate(row)
        if i != j and images > 0
    ]
    return sorted(pairs, key=lambda pair: -pair.images)[:limit]


def imperfect_classes(record: EvaluateRecord) -> list[ClassScores]:
    """Give the tested classes with an F1 below 1, the lowest first."""
    return [one for one in weakest_first(record) if one.f1 < 1]


def recall_extremes(scores: ClassificationScores) -> tuple[ClassScores, ClassScores]:
    """Give the tested classes with the lowest and the highest recall."""
    tested = [one for one in scores.classes if one.total_cases]
    return min(tested, key=lambda one: one.recall), max(tested, key=lambda one: one.recall)


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
