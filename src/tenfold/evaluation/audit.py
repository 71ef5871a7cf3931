"""The data audit: label issues and duplicates, ranked, counted and written down.

Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR
70 (2021), arXiv 1911.00068: an image is counted to a class if the class is at least as probable as
it is on average among the images that carry its label. Those counted to another class than their
label's are flagged: this says how many labels to expect wrong. The order is by the odds of the
label against the most probable other class, which found more labels planted among right ones than
the normalised margin and the self-confidence of Kuan and Mueller, "Model-agnostic label quality
scoring to detect real-world label errors" (ICML DataPerf workshop 2022); docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import SettingsError
from tenfold.core.records.data import DuplicateAudit, DuplicateCounts, DuplicatePair, LabelAudit
from tenfold.core.records.training import TrainRecord
from tenfold.core.text import csv_line
from tenfold.data.corrections import image_id
from tenfold.data.dataset import (
    Groups,
    Images,
    ImageSplit,
    Indices,
    Labels,
    kept_places,
    read_split,
)
from tenfold.data.image_pairs import ImagePairs
from tenfold.data.near_duplicates import NearDuplicates
from tenfold.data.splits import groups_of_pairs
from tenfold.evaluation.robustness import training_passes

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LabelRanking:
    """Every image that the predictions would give another label, the most suspicious first.

    Parameters
    ----------
    order
        int64, shape (M,): places of the images that are flagged, or more probable another class.
    suggested
        int64, shape (N,): the class that the predictions point to, of every image.
    score
        float64, shape (N,), 0 to 1: probability of the label, if there were only it and the most
        probable other class.
    is_flagged
        bool, shape (N,).
    """

    order: npt.NDArray[np.int64]
    suggested: Labels
    score: npt.NDArray[np.float64]
    is_flagged: npt.NDArray[np.bool_]


def rank_label_issues(
    probabilities: Probabilities, labels: Labels, *, is_cleanlab: bool = False
) -> LabelRanking:
    """Rank the labels that look wrong.

    Parameters
    ----------
    probabilities
        Shape (N, classes): of a model that did not see the image in training.
    labels
        int64, shape (N,).
    is_cleanlab
        Let the package cleanlab say which are flagged, by its default method (prune by noise
        rate), which takes into account how often classes are mistaken for each other.

    Raises
    ------
    SettingsError
        If cleanlab is asked for and not installed.
    """
    row = np.arange(len(labels))
    values = probabilities.astype(np.float64)
    own = values[row, labels]
    others = values.copy()
    others[row, labels] = -1
    best_other = others.argmax(axis=1)
    # A softmax in float32 gives 0 below 1e-38; the smallest number keeps 0 against 0 defined.
    score = own / np.maximum(own + others[row, best_other], np.finfo(np.float64).tiny)
    confident = confident_class(values, labels)
    if is_cleanlab:
        is_flagged = np.asarray(cleanlab_filter()(labels, values, n_jobs=1), dtype=bool)
        suggested = best_other
    else:
        is_flagged = (confident >= 0) & (confident != labels)
        suggested = np.where(is_flagged, confident, best_other)
    listed = np.flatnonzero(is_flagged | (score < 0.5))
    order = listed[np.argsort(score[listed], kind="stable")]
    return LabelRanking(order, suggested.astype(np.int64), score, is_flagged)


def confident_class(probabilities: npt.NDArray[np.float64], labels: Labels) -> Labels:
    """Give the class that each image is confidently counted to, -1 for none; shape (N,)."""
    class_count = probabilities.shape[1]
    counts = np.bincount(labels, minlength=class_count)
    sums = np.zeros(class_count)
    np.add.at(sums, labels, probabilities[np.arange(len(labels)), labels])
    # A class that no image carries has no average: nothing is counted to it.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    above = np.where(probabilities >= thresholds - 1e-9, probabilities, -1)
    result: Labels = np.where(above.max(axis=1) >= 0, above.argmax(axis=1), -1).astype(np.int64)
    return result


def cleanlab_filter() -> Callable[..., Any]:
    """Give cleanlab's function that flags labels.

    Raises
    ------
    SettingsError
        If cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        raise SettingsError(
            "audit.label_method is 'cleanlab', but cleanlab is not installed. Install it with "
            "pip install 'tenfold[cleanlab]', or use the default, 'confident-learning', which "
            "needs nothing more."
        ) from None
    found: Callable[..., Any] = find_label_issues
    return found


@dataclass(frozen=True)
class AuditedImages:
    """Both splits, with the study's corrections applied.

    Parameters
    ----------
    train, test
        The splits.
    train_places, test_places
        int64: place of each image in the split as the source gave it.
    """

    train: ImageSplit
    test: ImageSplit
    train_places: Indices
    test_places: Indices

    @classmethod
    def read(cls, acquire_folder: Path) -> AuditedImages:
        """Read both splits of a study."""
        train, test = read_split(acquire_folder, "train"), read_split(acquire_folder, "test")
        train_places = kept_places(acquire_folder, "train")
        test_places = kept_places(acquire_folder, "test")
        return cls(
            train,
            test,
            np.arange(len(train)) if train_places is None else train_places,
            np.arange(len(test)) if test_places is None else test_places,
        )

    def __len__(self) -> int:
        return len(self.train) + len(self.test)

    @cached_property
    def labels(self) -> Labels:
        """Labels of all images, shape (N,)."""
        return np.concatenate([self.train.labels, self.test.labels])

    def is_test(self, numbers: Indices) -> npt.NDArray[np.bool_]:
        """Say of each image by its number whether it is in the test split."""
        result: npt.NDArray[np.bool_] = numbers >= len(self.train)
        return result

    def is_across(self, pairs: ImagePairs) -> npt.NDArray[np.bool_]:
        """Say of each pair whether it is of a training and a test image."""
        return self.is_test(pairs.second) & ~self.is_test(pairs.first)

    def is_leak(self, pairs: ImagePairs) -> npt.NDArray[np.bool_]:
        """Say of each test image whether it is in a pair with a training image; shape (M,)."""
        across = self.is_across(pairs)
        result = np.zeros(len(self.test), bool)
        result[pairs.second[across] - len(self.train)] = True
        return result

    def id_at(self, number: int) -> str:
        """Give an image's identifier by its number."""
        if number < len(self.train):
            return image_id("train", int(self.train_places[number]))
        return image_id("test", int(self.test_places[number - len(self.train)]))

    def place(self, name: str) -> int:
        """Give an image's number by its identifier."""
        split, _, place = name.partition("/")
        if split == "train":
            return int(np.searchsorted(self.train_places, int(place)))
        return len(self.train) + int(np.searchsorted(self.test_places, int(place)))

    def pixels(self, numbers: Sequence[int]) -> Images:
        """Give some images, shape (len(numbers), H, W, C)."""
        wanted = np.array(numbers, np.int64)
        is_test = self.is_test(wanted)
        result = np.empty((len(wanted), *self.train.images.shape[1:]), np.uint8)
        result[~is_test] = self.train.images[wanted[~is_test]]
        result[is_test] = self.test.images[wanted[is_test] - len(self.train)]
        return result


LABEL_ISSUES = "label_issues.csv"
DUPLICATES = "duplicates.csv"
IMAGES = "images.npz"


def issues_csv(audits: Iterable[LabelAudit], classes: Sequence[str]) -> str:
    """Give the label issues of all splits; the action of each is ``keep`` until somebody edits it.

    See `tenfold.data.corrections` for how it is read.
    """
    lines = [csv_line(["id", "given", "suggested", "score", "action"])]
    for audit in audits:
        for issue in audit.issues:
            given, suggested = classes[issue.given], classes[issue.suggested]
            lines.append(csv_line([issue.id, given, suggested, f"{issue.score:.6f}", "keep"]))
    return "".join(lines)


SAME, ALIKE = "same", "alike"
"""Verdicts in the table of pairs."""


def duplicates_csv(found: NearDuplicates, images: AuditedImages, classes: Sequence[str]) -> str:
    """Give all pairs: the same shot, then those alike; those across the splits first."""
    names = ["first", "second", "first_label", "second_label", "agreement", "is_exact"]
    lines = [csv_line([*names, "is_mirrored", "verdict"])]
    for pairs, verdict in ((found.same, SAME), (found.alike, ALIKE)):
        across = images.is_across(pairs)
        for place in np.lexsort((pairs.second, pairs.first, -pairs.agreement, ~across)).tolist():
            first, second = int(pairs.first[place]), int(pairs.second[place])
            lines.append(
                csv_line(
                    [
                        images.id_at(first),
                        images.id_at(second),
                        classes[images.labels[first]],
                        classes[images.labels[second]],
                        f"{pairs.agreement[place]:.4f}",
                        str(bool(pairs.is_exact[place])).lower(),
                        str(bool(pairs.is_mirrored[place])).lower(),
                        verdict,
                    ]
                )
            )
    return "".join(lines)


_SHARE_OF_TRAINING = 1 / 3
"""Of its multiply-adds, which comparing pairs may take; docs/decisions/033."""
_MULTIPLY_ADDS_OF_A_LOOK = 2 * 10**7
"""What networks get done in the time of a look at two thumbnails."""
_ALWAYS_LOOKS = 10**5
"""About a minute."""
_ALWAYS_LOOKS_AN_IMAGE = 3
"""All that is proposed of small images: 1 to 2 pairs an image, of which no more is looked at."""


def looks_in_proportion(train: TrainRecord, images: int) -> int:
    """Give how much may be compared to find near-duplicates, in proportion to the training.

    Parameters
    ----------
    train
        Of the network, whose counts of images, epochs and multiply-adds are used.
    images
        Of both splits.
    """
    trained = training_passes(train) * (train.multiply_adds or 0)
    return max(
        _ALWAYS_LOOKS,
        _ALWAYS_LOOKS_AN_IMAGE * images,
        int(_SHARE_OF_TRAINING * trained / _MULTIPLY_ADDS_OF_A_LOOK),
    )


_SHOWN_CONFLICTS = 8
_SHOWN_LEAKS = 16
_SHOWN_WITHIN = 8
_SHOWN_ALIKE = 8


def summarize_duplicates(found: NearDuplicates, images: AuditedImages) -> DuplicateAudit:
    """Count the pairs and choose those that the page shows."""
    pairs, alike = found.same, found.alike
    groups = groups_of_pairs(len(images), pairs.first, pairs.second)
    most_alike = np.argsort(-alike.agreement, kind="stable")[:_SHOWN_ALIKE].tolist()
    return DuplicateAudit(
        least_agreement=round(found.least_agreement, 4),
        candidates=found.compared,
        left_out=found.left_out,
        within_train=_counts(pairs.take(~images.is_test(pairs.second)), images),
        within_test=_counts(pairs.take(images.is_test(pairs.first)), images),
        across=_counts(pairs.take(images.is_across(pairs)), images),
        groups=int((np.bincount(groups) > 1).sum()),
        images_in_groups=int((np.bincount(groups, minlength=len(groups))[groups] > 1).sum()),
        leaked_test_images=int(images.is_leak(pairs).sum()),
        shown=tuple(_shown_pair(pairs, place, images) for place in _chosen(pairs, images)),
        alike=len(alike),
        alike_across=int(images.is_across(alike).sum()),
        shown_alike=tuple(_shown_pair(alike, place, images) for place in most_alike),
    )


def _counts(pairs: ImagePairs, images: AuditedImages) -> DuplicateCounts:
    is_exact = pairs.is_exact
    return DuplicateCounts(
        exact=int(is_exact.sum()),
        near=int((~is_exact).sum()),
        other_label=int(_is_conflict(pairs, images).sum()),
    )


def _is_conflict(pairs: ImagePairs, images: AuditedImages) -> npt.NDArray[np.bool_]:
    result: npt.NDArray[np.bool_] = images.labels[pairs.first] != images.labels[pairs.second]
    return result


def _chosen(pairs: ImagePairs, images: AuditedImages) -> list[int]:
    """Choose pairs with different labels, leaks and others, each from sure to just counted."""
    conflict = _is_conflict(pairs, images)
    across = images.is_across(pairs)
    chosen = _spread(pairs, np.flatnonzero(conflict), _SHOWN_CONFLICTS)
    groups = groups_of_pairs(len(images), pairs.first, pairs.second)
    for wanted, count in (
        (across & ~conflict, _SHOWN_LEAKS),
        (~across & ~conflict, _SHOWN_WITHIN),
    ):
        chosen += _spread(pairs, _one_a_group(pairs, np.flatnonzero(wanted), groups), count)
    return chosen


def _one_a_group(pairs: ImagePairs, places: Indices, groups: Groups) -> Indices:
    """Take the least sure of each group's pairs: a popular shot would fill the page."""
    ordered = places[np.argsort(pairs.agreement[places], kind="stable")]
    _, once = np.unique(groups[pairs.first[ordered]], return_index=True)
    result: Indices = ordered[once]
    return result


def _spread(pairs: ImagePairs, places: Indices, count: int) -> list[int]:
    """Take `count` places, evenly over the order of agreement."""
    ordered = places[np.argsort(-pairs.agreement[places], kind="stable")]
    steps: Any = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round())
    chosen: list[int] = ordered[steps.astype(np.int64)].tolist()
    return chosen


def _shown_pair(pairs: ImagePairs, place: int, images: AuditedImages) -> DuplicatePair:
    first, second = int(pairs.first[place]), int(pairs.second[place])
    return DuplicatePair(
        first=images.id_at(first),
        second=images.id_at(second),
        first_label=int(images.labels[first]),
        second_label=int(images.labels[second]),
        agreement=round(float(pairs.agreement[place]), 4),
        is_exact=bool(pairs.is_exact[place]),
        is_mirrored=bool(pairs.is_mirrored[place]),
    )
