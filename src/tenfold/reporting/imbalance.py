"""How imbalanced the classes are, what was done about it, and whether class size shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from tenfold.core.records.acquire import AcquireRecord
from tenfold.core.records.evaluate import EvaluateRecord
from tenfold.reporting.formats import count, in_sentence, percent, score
from tenfold.reporting.interpretation_data import IMBALANCE_RATIO
from tenfold.reporting.study_records import StudyRecords


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
        return self.ratio >= IMBALANCE_RATIO


def is_imbalanced(acquire: AcquireRecord) -> bool:
    """Say whether the training or the test split is imbalanced."""
    splits = [counts for counts in (acquire.train_counts, acquire.test_counts) if any(counts)]
    return any(Imbalance.of(counts).is_uneven for counts in splits)


def measure_sentences(acquire: AcquireRecord) -> list[str]:
    """Say how imbalanced the training images are, in two measures."""
    imbalance = Imbalance.of(acquire.train_counts)
    classes = len(acquire.classes)
    if not imbalance.is_uneven:
        return []
    ratio = (
        "without bound, since a class has no image"
        if math.isinf(imbalance.ratio)
        else f"{imbalance.ratio:.1f} to 1"
    )
    return [
        f"Imbalance of the training images: the largest class to the smallest is {ratio}; by their "
        f"entropy the {classes} classes are worth {imbalance.effective_classes:.1f} equally large "
        "ones."
    ]


def treatment_sentences(records: StudyRecords) -> list[str]:
    """Say what was done about the imbalance, and what was not."""
    if not is_imbalanced(records.acquire):
        return _rebalancing_sentences(records)
    training = records.settings.get("training")
    training = training if isinstance(training, dict) else {}
    stratified = ["the folds of the cross-validation"]
    is_given = records.acquire.validation_count > 0
    if (
        training.get("validation_method") == "stratified"
        and training.get("validation_fraction")
        and not is_given
    ):
        stratified.insert(0, "the validation split")
    verb = "have" if len(stratified) > 1 else "all have"
    sentences = [
        f"What was done about it: {' and '.join(stratified)} {verb} the same share of every class "
        "as the training images; accuracy never stands alone below, but beside balanced accuracy, "
        "macro scores and the recall of each class.",
    ]
    if training.get("validation_method") == "last" and not is_given:
        sentences.append(
            "The validation images are the last ones in order, not a stratified draw: small "
            "classes may be missing among them."
        )
    return sentences + _rebalancing_sentences(records)


def _rebalancing_sentences(records: StudyRecords) -> list[str]:
    """Say how the training was rebalanced and why; nothing where nobody asked for it."""
    rebalancing = None if records.train is None else records.train.rebalancing
    if rebalancing is None or rebalancing.asked == "none":
        return []
    return [rebalancing.sentence]


def accuracy_warning(evaluate: EvaluateRecord, acquire: AcquireRecord) -> list[str]:
    """Say what accuracy hides where classes differ in size."""
    if not is_imbalanced(acquire):
        return []
    scores = evaluate.scores
    present = [one for one in scores.classes if one.total_cases]
    worst = min(present, key=lambda one: one.recall)
    best = max(present, key=lambda one: one.recall)
    interval = evaluate.intervals.balanced_accuracy
    return [
        f"The classes differ in size, so accuracy ({percent(scores.accuracy)}) is mostly that of "
        f"the large ones. Averaged over the classes the model finds "
        f"{percent(scores.balanced_accuracy)} of a class's images (balanced accuracy; 95% interval "
        f"{percent(interval.low)} to {percent(interval.high)}), from {percent(worst.recall)} of "
        f"{in_sentence(worst.name)} to {percent(best.recall)} of {in_sentence(best.name)}."
    ]


def caution_sentences(acquire: AcquireRecord) -> list[str]:
    """Warn where only accuracy was measured."""
    if not is_imbalanced(acquire):
        return []
    return [
        "Accuracy here counts every image alike, and the classes differ in size: a small class can "
        "fail without a trace in it. What each class comes to is measured on the test split."
    ]


def size_sentences(evaluate: EvaluateRecord, acquire: AcquireRecord) -> list[str]:
    """Say whether classes with fewer training images are recognised less often."""
    pairs = [
        (trained, one.recall, one.name)
        for trained, one in zip(acquire.train_counts, evaluate.scores.classes, strict=True)
        if one.total_cases
    ]
    sizes = [size for size, _, _ in pairs]
    if len(pairs) < 2 or min(sizes) == max(sizes):
        return [
            "All classes have as many training images, so differences in recall have other causes."
        ]
    if not Imbalance.of([max(size, 0) for size in sizes]).is_uneven:
        return [
            "The classes have about as many training images each, so class size cannot explain "
            "the differences in recall."
        ]
    small = [pair for pair in pairs if pair[0] <= sorted(sizes)[(len(sizes) - 1) // 3]]
    large = [pair for pair in pairs if pair[0] >= sorted(sizes)[-((len(sizes) + 2) // 3)]]
    of_small, of_large = fmean(p[1] for p in small), fmean(p[1] for p in large)
    text = (
        f"The third of the classes with the fewest training images (at most "
        f"{count(max(p[0] for p in small))}) has a mean recall of {score(of_small)}, the third "
        f"with the most (at least {count(min(p[0] for p in large))}) one of {score(of_large)}"
    )
    correlation = rank_correlation(sizes, [recall for _, recall, _ in pairs])
    if correlation is None:
        return [f"{text}."]
    return [f"{text}; the rank correlation of size and recall is {correlation:.2f}."]


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Give Spearman's rank correlation; None where a side is all equal or there are under 4 values.

    Ties share their mean rank (Spearman 1904, doi:10.2307/1412159).
    """
    if len(first) < 4 or 1 in (len(set(first)), len(set(second))):
        return None
    from scipy.stats import spearmanr  # slow to import

    return float(spearmanr(first, second).statistic)
