"""Whether mirror images keep their class, decided on training images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.randomness import derive_seed
from tenfold.core.records.data import MirrorRecord, MirrorSetting
from tenfold.data.dataset import Groups, Images, ImageSplit, Labels
from tenfold.data.splits import exact_groups
from tenfold.evaluation.differences import holm_adjusted, mcnemar_p_value
from tenfold.evaluation.mirror_features import (
    MirrorKernels,
    MirrorScores,
    mirror_features,
    mirror_scores,
)
from tenfold.evaluation.scores import Floats

MEASURED_IMAGES = 1200
"""Time grows with its square and more; 28 images of each of 43 classes are enough to tell."""
MEASURED_IN_BUDGET = 400
"""Where seconds count."""

ClassPair = tuple[int, int]

_SURE = 0.001
"""p-value from which on a whole data set's measurement is believed."""
_SURE_OF_PAIR = 0.01
"""The same for a pair of classes, adjusted for the number of pairs that are looked at."""
_LIKELY = 0.05


@dataclass(frozen=True)
class MirrorDecision:
    """Whether a mirrored image still shows its class, and how that was found."""

    keeps_class: bool
    record: MirrorRecord


def decide_mirroring(
    split: ImageSplit,
    classes: Sequence[str],
    wanted: MirrorSetting = "auto",
    *,
    seed: int,
    groups: Groups | None = None,
    most_images: int = MEASURED_IMAGES,
) -> MirrorDecision:
    """Decide whether images may be mirrored.

    They may not if two classes look like each other's mirror images, if mirror images are not
    recognised (half as clearly as images, or less), or if learning from them harms. Where the
    measurement leaves a doubt, the likelier is taken; without one, what the classes' names say; and
    else that a mirror image shows its class, as of nearly all photographs.

    Parameters
    ----------
    split
        Training images alone.
    classes
        The classes' names.
    wanted
        What the user says of it; it is measured in any case.
    seed
        Of the sample, the filters and the folds.
    groups
        Which images are near-duplicates, see `tenfold.data.splits`; None looks for equal
        ones.
    most_images
        Images that are tried; of each class as many, where there are as many.
    """
    generator = np.random.default_rng(derive_seed(seed, "mirroring"))
    rows = _balanced_sample(split.labels, most_images, generator)
    present, labels = np.unique(split.labels[rows], return_inverse=True)
    names = [classes[label] for label in present]
    measured = None
    if len(present) > 1:
        measured = measure_mirroring(
            split.images[rows],
            labels.astype(np.int64),
            len(present),
            exact_groups(split.images[rows]) if groups is None else groups[rows],
            generator,
            suspected=named_pairs(names),
        )
    verdict = None if measured is None else measured.verdict
    keeps_class, decided_by = _decide(measured, verdict, names, wanted)
    plain, mirrored, taught = (0.0, 0.0, 0.0) if measured is None else measured.accuracies
    return MirrorDecision(
        keeps_class,
        MirrorRecord(
            decided_by=decided_by,
            measured=verdict,
            images=len(rows),
            plain_accuracy=plain,
            mirrored_accuracy=mirrored,
            taught_accuracy=taught,
            pairs=()
            if measured is None
            else tuple((names[first], names[second]) for first, second in measured.pairs),
        ),
    )


def _balanced_sample(
    labels: Labels, most: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw at most `most` places, ascending, of each class as many, where there are as many."""
    counts = np.sort(np.bincount(labels))
    counts = counts[counts > 0]
    left, share = most, most
    for place, count in enumerate(counts):
        share = max(left // (len(counts) - place), 2)
        if count > share:
            break
        left -= int(count)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:share]
        for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen))[: max(most, 2 * len(counts))]


def _decide(
    measured: MirrorMeasurement | None,
    verdict: bool | None,
    names: Sequence[str],
    wanted: MirrorSetting,
) -> tuple[bool, Literal["measurement", "names", "default", "setting"]]:
    if wanted != "auto":
        return wanted, "setting"
    if verdict is False or (verdict is None and measured is not None and measured.seems_lost):
        return False, "measurement"
    if measured is not None and measured.unsettled:
        return False, "names"
    if verdict:
        return True, "measurement"
    return (False, "names") if are_characters(names) else (True, "default")


def measure_mirroring(
    images: Images,
    labels: Labels,
    class_count: int,
    groups: Groups,
    generator: np.random.Generator,
    *,
    suspected: Sequence[ClassPair] = (),
) -> MirrorMeasurement:
    """Fit small classifiers and compare what they make of images and mirror images.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    labels, groups
        int64, shape (N,).
    class_count
        Number of classes, at least 2; each has an image.
    generator
        Of filters and folds.
    suspected
        Pairs of classes to look at in any case.
    """
    kernels = MirrorKernels.of(mirror_features(images, generator))
    scores = mirror_scores(kernels, labels, class_count, groups, generator)
    candidates = sorted({*_likeliest(scores, labels, class_count), *suspected})
    found = []
    for pair in candidates:
        rows = np.flatnonzero(np.isin(labels, pair))
        of_pair = (labels[rows] == pair[1]).astype(np.int64)
        found.append(
            _PairScores.of(
                mirror_scores(kernels.take(rows), of_pair, 2, groups[rows], generator), of_pair
            )
        )
    adjusted = holm_adjusted([each.p_value for each in found])
    return MirrorMeasurement(
        labels,
        scores,
        tuple(
            pair
            for pair, chance in zip(candidates, adjusted, strict=True)
            if chance < _SURE_OF_PAIR
        ),
        tuple(pair for pair, each in zip(candidates, found, strict=True) if each.p_value < _LIKELY),
        tuple(
            pair
            for pair, each in zip(candidates, found, strict=True)
            if pair in suspected and not each.keeps_classes
        ),
    )


@dataclass(frozen=True)
class MirrorMeasurement:
    """Scores of a sample of training images, and pairs of classes among them.

    Parameters
    ----------
    labels
        int64, shape (N,).
    scores
        Of the images.
    pairs
        Classes that look like each other's mirror images.
    likely_pairs
        Classes that may do so: of so many pairs one may look so by chance.
    unsettled
        Of the pairs that were suspected, those of which it was not seen that they do not.
    """

    labels: Labels
    scores: MirrorScores
    pairs: tuple[ClassPair, ...]
    likely_pairs: tuple[ClassPair, ...]
    unsettled: tuple[ClassPair, ...]

    @property
    def accuracies(self) -> tuple[float, float, float]:
        """Give the accuracy on images, on mirror images, and on images having learned from both."""
        scores = self.scores
        plain, mirrored, taught = (
            float((each.argmax(1) == self.labels).mean())
            for each in (scores.plain, scores.mirrored, scores.taught)
        )
        return plain, mirrored, taught

    @property
    def verdict(self) -> bool | None:
        """Say whether a mirror image keeps its class; None where that is in doubt."""
        if self.pairs:
            return False
        without = self.scores.plain.argmax(1) == self.labels
        taught = self.scores.taught.argmax(1) == self.labels
        better, worse = int((taught & ~without).sum()), int((without & ~taught).sum())
        chance = mcnemar_p_value(better, worse)
        if worse > better and chance < _SURE:
            return False
        plain, mirrored = self._own_scores
        if _p_value(plain) > _SURE:
            return None  # not even the images are recognised
        is_helpful = better > worse and chance < _LIKELY
        if _p_value(plain / 2 - mirrored) < _SURE and not is_helpful:
            return False
        is_kept = _p_value(mirrored - plain / 2) < _SURE and not self.likely_pairs
        return True if is_kept else None

    @property
    def seems_lost(self) -> bool:
        """Say whether mirror images rather are not recognised, sure or not."""
        if self.likely_pairs:
            return True
        plain, mirrored = self._own_scores
        return _p_value(plain) < _LIKELY and mirrored.mean() < plain.mean() / 2

    @property
    def _own_scores(self) -> tuple[Floats, Floats]:
        """Give the scores of each image's own class, of the image and of its mirror image."""
        places = np.arange(len(self.labels))
        return self.scores.plain[places, self.labels], self.scores.mirrored[places, self.labels]


def _likeliest(scores: MirrorScores, labels: Labels, class_count: int) -> list[ClassPair]:
    """Give each class with the one that its images look more like when they are mirrored."""
    change = scores.mirrored - scores.plain
    pairs = []
    for label in range(class_count):
        gained = change[labels == label].mean(0)
        gained[label] = -np.inf
        other = int(gained.argmax())
        pairs.append((min(label, other), max(label, other)))
    return pairs


@dataclass(frozen=True)
class _PairScores:
    """By how much images of two classes look more like their own than like the other one."""

    plain: Floats
    mirrored: Floats
    taught: Floats
    is_second: Labels

    @classmethod
    def of(cls, scores: MirrorScores, labels: Labels) -> _PairScores:
        places = np.arange(len(labels))
        plain, mirrored, taught = (
            each[places, labels] - each[places, 1 - labels]
            for each in (scores.plain, scores.mirrored, scores.taught)
        )
        return cls(plain, mirrored, taught, labels)

    @property
    def p_value(self) -> float:
        """Give how likely it is to look so much like mirror images of each other by chance.

        The classes differ, the mirror images of both look like the other class, and who learns
        from mirror images too tells the classes apart half as well or worse.
        """
        if any(self.mirrored[self.is_second == side].mean() >= 0 for side in (0, 1)):
            return 1.0
        if self.taught.mean() > self.plain.mean() / 2:
            return 1.0
        return max(
            _p_value(self.plain), _p_value(-self.mirrored), _p_value(self.plain - self.taught)
        )

    @property
    def keeps_classes(self) -> bool:
        """Say whether the mirror images surely look like their own class."""
        return max(_p_value(self.plain), _p_value(self.mirrored - self.plain / 2)) < _SURE_OF_PAIR


def _p_value(values: Floats) -> float:
    """Give how likely so high a mean is if the true one is 0, by Student's t."""
    if len(values) < 2 or np.ptp(values) == 0:
        return 1.0
    from scipy.stats import ttest_1samp  # slow to import

    return float(ttest_1samp(values, 0.0, alternative="greater").pvalue)


_SIDES = (("left", "right"), ("l", "r"), ("west", "east"), ("clockwise", "counterclockwise"))
_OTHER_SIDE = {one: other for pair in _SIDES for one, other in (pair, pair[::-1])}


def named_pairs(classes: Sequence[str]) -> list[ClassPair]:
    """Give the classes whose names differ in nothing but the side: "turn left", "turn right"."""
    spaced = (re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name) for name in classes)  # turnLeft
    words = [re.findall(r"[^\W\d_]+|\d+", name.lower()) for name in spaced]
    return [
        (first, second)
        for first, second in combinations(range(len(words)), 2)
        if words[first] != words[second]
        and len(words[first]) == len(words[second])
        and all(
            one == other or _OTHER_SIDE.get(one) == other
            for one, other in zip(words[first], words[second], strict=True)
        )
    ]


def are_characters(classes: Sequence[str]) -> bool:
    """Say whether every name is a single letter or digit: writing is not mirrored."""
    return all(len(name) == 1 and name.isalnum() for name in classes)
