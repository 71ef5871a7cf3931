"""What is said of the duplicates: how many, where, and which pairs are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.auditing.audited_images import AuditedImages
from tenfold.core.records.data import DuplicateAudit, DuplicateCounts, DuplicatePair
from tenfold.data.dataset import Groups
from tenfold.data.pixel_agreement import ImagePairs, Indices
from tenfold.data.splits import groups_of_pairs

_SHOWN_CONFLICTS = 8
_SHOWN_LEAKS = 16
_SHOWN_WITHIN = 8


def summarize_duplicates(
    pairs: ImagePairs, images: AuditedImages, *, least_agreement: float, candidates: int
) -> DuplicateAudit:
    """Count the pairs and choose those that the page shows.

    Parameters
    ----------
    pairs
        All that were found.
    images
        All images.
    least_agreement
        From which on a pair counted.
    candidates
        How many pairs were compared.
    """
    first_test, second_test = images.is_test(pairs.first), images.is_test(pairs.second)
    groups = groups_of_pairs(len(images), pairs.first, pairs.second)
    return DuplicateAudit(
        least_agreement=least_agreement,
        candidates=candidates,
        within_train=_counts(pairs.take(~second_test), images),
        within_test=_counts(pairs.take(first_test), images),
        across=_counts(pairs.take(second_test & ~first_test), images),
        groups=int((np.bincount(groups) > 1).sum()),
        images_in_groups=int((np.bincount(groups, minlength=len(groups))[groups] > 1).sum()),
        leaked_test_images=int(images.is_leak(pairs).sum()),
        shown=tuple(_shown_pair(pairs, place, images) for place in _chosen(pairs, images)),
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
    across = images.is_test(pairs.second) & ~images.is_test(pairs.first)
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
