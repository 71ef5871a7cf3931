"""What was done about imbalanced classes, and whether class size shows in the recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.evaluation.scores import Imbalance, rank_correlation


@dataclass(frozen=True)
class SizeEffect:
    """Mean recall of the third of the classes with the fewest and with the most training images.

    Parameters
    ----------
    sizes
        How the tested classes differ in training images; the rest is there only for uneven ones.
    most_of_small, least_of_large
        Training images of the largest small class and of the smallest large one.
    rank_correlation
        Of size and recall.
    """

    sizes: Literal["equal", "about equal", "uneven"]
    most_of_small: int = 0
    least_of_large: int = 0
    recall_of_small: float = 0.0
    recall_of_large: float = 0.0
    rank_correlation: float | None = None


def size_effect(evaluate: EvaluateRecord, acquire: AcquireRecord) -> SizeEffect:
    """Measure whether classes with fewer training images are recognised less often."""
    pairs = [
        (size, one.recall)
        for size, one in zip(acquire.train_counts, evaluate.scores.classes, strict=True)
        if one.total_cases
    ]
    sizes = sorted(size for size, _ in pairs)
    if len(pairs) < 2 or sizes[0] == sizes[-1]:
        return SizeEffect("equal")
    if not Imbalance.of(sizes).is_uneven:
        return SizeEffect("about equal")
    small = [pair for pair in pairs if pair[0] <= sizes[(len(sizes) - 1) // 3]]
    large = [pair for pair in pairs if pair[0] >= sizes[-((len(sizes) + 2) // 3)]]
    return SizeEffect(
        "uneven",
        most_of_small=max(size for size, _ in small),
        least_of_large=min(size for size, _ in large),
        recall_of_small=fmean(recall for _, recall in small),
        recall_of_large=fmean(recall for _, recall in large),
        rank_correlation=rank_correlation([s for s, _ in pairs], [r for _, r in pairs]),
    )


def validation_draw(settings: Mapping[str, object], acquire: AcquireRecord) -> str | None:
    """Give how the validation images were drawn (training.validation_method); None if not drawn.

    Settings of an earlier version may lack it, and a data set may bring validation images along.
    """
    training = settings.get("training")
    if acquire.validation_count > 0 or not isinstance(training, Mapping):
        return None
    method = training.get("validation_method")
    if method == "stratified" and not training.get("validation_fraction"):
        return None
    return None if method is None else str(method)
