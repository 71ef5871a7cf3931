"""What acquire, explore and audit found: facts for the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from statistics import fmean
from typing import Literal

from tenfold.core.records.choice import ChoiceRecord
from tenfold.core.records.data import (
    AcquireRecord,
    ClassStatistics,
    DuplicateAudit,
    ExploreRecord,
    LabelAudit,
    MirrorRecord,
)
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.evaluation.scores import Imbalance, rank_correlation
from tenfold.report.formats import score
from tenfold.report.wording import words


@dataclass(frozen=True)
class ClassBalance:
    """How evenly the images of a split are spread over the classes."""

    split: Literal["training", "test"]
    total: int
    class_count: int
    largest: tuple[str, int]
    """Name and images of the largest class, the first of several."""
    smallest: tuple[str, int]
    empty: tuple[str, ...]
    """Classes without images."""
    imbalance: Imbalance


def class_balances(acquire: AcquireRecord) -> list[ClassBalance]:
    """Give the balance of the training images, and of the test images where there are any."""
    balances = [_balance("training", acquire.classes, acquire.train_counts)]
    if any(acquire.test_counts):
        balances.append(_balance("test", acquire.classes, acquire.test_counts))
    return balances


def _balance(
    split: Literal["training", "test"], classes: Sequence[str], counts: Sequence[int]
) -> ClassBalance:
    sizes = list(zip(classes, counts, strict=True))
    return ClassBalance(
        split=split,
        total=sum(counts),
        class_count=len(classes),
        largest=max(sizes, key=itemgetter(1)),
        smallest=min(sizes, key=itemgetter(1)),
        empty=tuple(name for name, images in sizes if not images),
        imbalance=Imbalance.of(counts),
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


def mirror_sentence(keeps_class: bool, record: MirrorRecord | None) -> str:
    """Say whether images are mirrored in training, why, and how to have it otherwise."""
    return words("data", "mirroring", keeps_class, record)


def choice_sentence(record: ChoiceRecord) -> str:
    """Say which recipe was chosen, why, and how to choose another."""
    return words("choice", "choice", record)


_DARK, _BRIGHT = 0.35, 0.65
"""Mean pixel values beyond which images are called dark or bright."""


@dataclass(frozen=True)
class ChannelFacts:
    """How bright the training images are overall, and the channels at both ends."""

    mean: float
    tone: Literal["dark", "moderate", "bright"]
    leaning: Literal["dark", "bright"] | None
    """The side to which moderate tones lean."""
    strongest: tuple[str, float]
    """Name and mean."""
    weakest: tuple[str, float]
    widest: tuple[str, float]
    """Name and standard deviation."""
    narrowest: tuple[str, float]


def channel_facts(record: ExploreRecord) -> ChannelFacts:
    """Sum up the channels' statistics."""
    means = list(zip(record.channel_names, record.channel_means, strict=True))
    spreads = list(zip(record.channel_names, record.channel_standard_deviations, strict=True))
    overall = sum(record.channel_means) / len(means)
    return ChannelFacts(
        mean=overall,
        tone="dark" if overall < _DARK else "bright" if overall > _BRIGHT else "moderate",
        leaning="dark"
        if _DARK <= overall < 0.49
        else "bright"
        if 0.51 < overall <= _BRIGHT
        else None,
        strongest=max(means, key=itemgetter(1)),
        weakest=min(means, key=itemgetter(1)),
        widest=max(spreads, key=itemgetter(1)),
        narrowest=min(spreads, key=itemgetter(1)),
    )


@dataclass(frozen=True)
class Extremes:
    """The classes at both ends of a statistic; all of the classes that have images, where equal."""

    are_equal: bool
    """To the three digits that are shown."""
    highest: tuple[tuple[str, float], ...]
    """Names and values, the most extreme first; ties are listed wholly."""
    lowest: tuple[tuple[str, float], ...]


def brightness_extremes(record: ExploreRecord) -> Extremes | None:
    """Give the brightest and the darkest classes; None without images."""
    return _extremes(record, attrgetter("mean"))


def contrast_extremes(record: ExploreRecord) -> Extremes | None:
    """Give the classes whose pixel values vary most and least; None without images."""
    return _extremes(record, attrgetter("standard_deviation"))


def _extremes(
    record: ExploreRecord, value_of: Callable[[ClassStatistics], float]
) -> Extremes | None:
    present = [(one.name, value_of(one)) for one in record.classes if one.count]
    if not present:
        return None
    ordered = sorted(present, key=lambda named: (-named[1], named[0]))
    shown = [float(score(value)) for _, value in ordered]
    if shown[0] == shown[-1]:
        return Extremes(True, tuple(ordered), tuple(ordered))
    # Two at each end, as the original does, where there are enough classes to choose from.
    wanted = 2 if len(ordered) >= 5 else 1
    top = [i for i, value in enumerate(shown) if value >= shown[wanted - 1]]
    bottom = [i for i, value in enumerate(shown) if value <= shown[-wanted]]
    return Extremes(
        False,
        tuple(ordered[i] for i in [i for i in top if i not in bottom] or top[:1]),
        tuple(ordered[i] for i in reversed(bottom) if i not in top),
    )


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


SMALL_PX = 24
"""Images of a shorter side are not compared shot by shot, unless candidates say otherwise."""

MANY_DUPLICATES = 0.25
"""Share of images in groups of near-duplicates from which on the measure itself is in doubt."""


def conflicts(duplicates: DuplicateAudit) -> int:
    """Count the pairs of near-duplicates with different labels."""
    parts = (duplicates.within_train, duplicates.within_test, duplicates.across)
    return sum(part.other_label for part in parts)


def had_copies_only(duplicates: DuplicateAudit, acquire: AcquireRecord) -> bool:
    """Say whether images were too small to look for more than the same pixels."""
    return duplicates.candidates == 0 and min(acquire.image_size_px) < SMALL_PX


def share_in_groups(duplicates: DuplicateAudit, acquire: AcquireRecord) -> float:
    """Give the share of all images that have a near-duplicate."""
    total = sum(acquire.train_counts) + sum(acquire.test_counts)
    return duplicates.images_in_groups / max(total, 1)


def flagged_share(labels: LabelAudit) -> float:
    """Give the share of a split's labels that look wrong."""
    return labels.flagged / max(labels.images, 1)
