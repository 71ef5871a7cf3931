"""What the out-of-fold scores of images and of their mirror images say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tenfold.data.dataset import Groups, Images, Labels
from tenfold.metrics.paired import holm_adjusted, mcnemar_p_value
from tenfold.mirroring.features import mirror_features
from tenfold.mirroring.probe import Floats, MirrorKernels, MirrorScores, mirror_scores

ClassPair = tuple[int, int]

_SURE = 0.001
"""p-value from which on a whole data set's measurement is believed."""
_SURE_OF_PAIR = 0.01
"""The same for a pair of classes, adjusted for the number of pairs that are looked at."""
_LIKELY = 0.05


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
