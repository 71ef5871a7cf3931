"""What the test scores say: weakest classes, confused pairs, and how sure the model may be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tenfold.core.records.evaluate import ClassificationScores, ClassScores, EvaluateRecord
from tenfold.reporting.formats import (
    counted,
    in_sentence,
    join,
    percent,
    percent_interval,
    score,
)
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
class ClassInsight:
    """What a reader should know about one weak class."""

    scores: ClassScores
    sentences: list[str]


def guessing_accuracy(scores: ClassificationScores) -> float:
    """Give the accuracy of always naming the largest class."""
    return max((c.total_cases for c in scores.classes), default=0) / max(scores.count, 1)


def views_sentences(record: EvaluateRecord) -> list[str]:
    """Say what test-time augmentation gives, apart from the plain scores."""
    scores = record.with_views
    if scores is None:
        return []
    others = [
        *(["its mirror image"] if scores.is_mirrored else []),
        *(["views moved by a pixel"] if scores.is_shifted else []),
    ]
    return [
        f"With test-time augmentation (the mean over {scores.views} views of each image: itself "
        f"and {join(others)}; as many times the work) accuracy is {percent(scores.accuracy)} (95% "
        f"interval {percent_interval(scores.interval)}). No other number on this page uses it."
    ]


def accuracy_sentences(record: EvaluateRecord) -> list[str]:
    """Say what the accuracy means, against guessing and with its margin."""
    scores, interval = record.scores, record.intervals.accuracy
    baseline = guessing_accuracy(scores)
    sentences = [
        f"The model is right in {percent(scores.accuracy)} of {counted(scores.count, 'test image')}"
        f" (95% interval {percent_interval(interval)})."
    ]
    always = f"always naming the largest class would give {percent(baseline)}"
    if interval.low > baseline:
        sentences.append(f"For comparison: {always}.")
    elif interval.high < baseline:
        sentences.append(f"That is worse than no model at all: {always}.")
    else:
        sentences.append(f"That is not clearly better than no model at all: {always}.")
    return sentences


def macro_sentences(scores: ClassificationScores) -> list[str]:
    """Say what macro precision, recall and F1 mean here."""
    precision, recall = scores.macro_precision, scores.macro_recall
    sentences = [
        f"Precision {score(precision)}: when the model names a class, it is right in "
        f"{percent(precision)} of the cases, averaged over the classes.",
        f"Recall {score(recall)}: of the images of a class, the model finds {percent(recall)}, "
        "averaged over the classes.",
        f"F1 {score(scores.macro_f1)}: the harmonic mean of the two for each class, averaged; it "
        "is high only where both are.",
    ]
    if leaning := leaning_sentence(scores):
        sentences.append(leaning)
    return sentences


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


def leaning_sentence(scores: ClassificationScores) -> str:
    """Say to which class the model leans and which it avoids; empty if to none."""
    over, under = leaning(scores)
    parts = []
    if over:
        parts.append(f"names {in_sentence(over.name)} too often ({_named(over)})")
    if under:
        parts.append(f"names {in_sentence(under.name)} too rarely ({_named(under)})")
    return f"The model {join(parts)}." if parts else ""


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


def weakest_insights(record: EvaluateRecord) -> list[ClassInsight]:
    """Explain the classes with the lowest F1: two, or one where there are few classes."""
    ordered = weakest_first(record)
    if not ordered or ordered[0].f1 >= 1:
        return []
    limit = 2 if len(ordered) >= 5 else 1
    return [ClassInsight(c, _explain(c, record.scores)) for c in ordered[:limit] if c.f1 < 1]


def _explain(weak: ClassScores, scores: ClassificationScores) -> list[str]:
    name = in_sentence(weak.name)
    place = [c.name for c in scores.classes].index(weak.name)
    sentences = []
    missed = weak.total_cases - weak.correct
    taken_for = [
        (images, other.name)
        for j, (images, other) in enumerate(
            zip(scores.confusion[place], scores.classes, strict=True)
        )
        if j != place and images > 0
    ]
    if missed == 0:
        sentences.append(f"All {counted(weak.total_cases, 'image')} of {name} were found.")
    else:
        taken_for.sort(key=lambda pair: -pair[0])
        most = join(f"{in_sentence(other)} ({images})" for images, other in taken_for[:2])
        verb = "was" if missed == 1 else "were"
        sentences.append(
            f"Of {counted(weak.total_cases, 'image')} of {name}, {missed:,} {verb} missed, taken "
            f"{'mostly ' if len(taken_for) > 2 else ''}for {most}."
        )
    wrong = weak.total_predictions - weak.correct
    if weak.total_predictions == 0:
        sentences.append(f"The model never named {name}.")
    elif wrong:
        sources = [
            (row[place], other.name)
            for i, (row, other) in enumerate(zip(scores.confusion, scores.classes, strict=True))
            if i != place and row[place] > 0
        ]
        sources.sort(key=lambda pair: -pair[0])
        most = join(f"{in_sentence(other)} ({images})" for images, other in sources[:2])
        sentences.append(
            f"Of {counted(weak.total_predictions, 'image')} named {name}, {wrong:,} "
            f"{'shows' if wrong == 1 else 'show'} another class, "
            f"{'mostly ' if len(sources) > 2 else ''}{most}."
        )
    if abs(weak.precision - weak.recall) >= 0.1:
        sentences.append(
            "Recall is the weaker side: the model is too cautious with this class."
            if weak.recall < weak.precision
            else "Precision is the weaker side: the model names this class too readily."
        )
    return sentences


def _named(scores: ClassScores) -> str:
    times = "time" if scores.total_predictions == 1 else "times"
    return f"{scores.total_predictions:,} {times} for {counted(scores.total_cases, 'image')}"
