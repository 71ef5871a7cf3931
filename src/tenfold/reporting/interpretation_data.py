"""What the class counts and the pixel statistics say, as facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from tenfold.core.records.data import AcquireRecord, ClassStatistics, ExploreRecord, MirrorRecord
from tenfold.evaluation.scores import Imbalance
from tenfold.reporting.formats import score
from tenfold.reporting.wording import words

_DARK, _BRIGHT = 0.35, 0.65
"""Mean pixel values beyond which images are called dark or bright."""


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


def mirror_sentence(keeps_class: bool, record: MirrorRecord | None) -> str:
    """Say whether images are mirrored in training, why, and how to have it otherwise."""
    return words("data", "mirroring", keeps_class, record)


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
        strongest=max(means, key=_value),
        weakest=min(means, key=_value),
        widest=max(spreads, key=_value),
        narrowest=min(spreads, key=_value),
    )


def _value(named: tuple[str, float]) -> float:
    return named[1]


def _balance(
    split: Literal["training", "test"], classes: Sequence[str], counts: Sequence[int]
) -> ClassBalance:
    sizes = list(zip(classes, counts, strict=True))
    return ClassBalance(
        split=split,
        total=sum(counts),
        class_count=len(classes),
        largest=max(sizes, key=_value),
        smallest=min(sizes, key=_value),
        empty=tuple(name for name, images in sizes if not images),
        imbalance=Imbalance.of(counts),
    )


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
