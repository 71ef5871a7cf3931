"""Which training images must stay together in splits and folds: a quick look at the pixels.

It comes before there is a network, and looks only for what makes a validation optimistic: copies,
whatever their labels, and near-duplicates of one class. The audit looks for all.
"""

from __future__ import annotations

import numpy as np

from tenfold.auditing.descriptors import Vectors, pixel_descriptors
from tenfold.auditing.image_pairs import ImagePairs, Indices
from tenfold.auditing.near_duplicates import LEAST_AGREEMENT, SMALLEST_SIDE_PX
from tenfold.auditing.neighbours import nearest
from tenfold.auditing.pixel_agreement import pixel_agreement
from tenfold.auditing.thumbnails import make_thumbnails
from tenfold.core.progress import Progress
from tenfold.data.dataset import Images, Labels
from tenfold.data.duplicate_groups import Groups, exact_groups, groups_of_pairs, joined_groups

_LARGEST_SHARE = 0.1
_ALWAYS_BELIEVED = 10
_NEIGHBOURS = 2
_LEAST_SIMILARITY = 0.7  # docs/experiments.md has what 0.8 would save and miss


def pixel_groups(images: Images, labels: Labels, progress: Progress) -> Groups:
    """Give the groups of near-duplicates, see `tenfold.data.duplicate_groups`.

    Time is N² / classes; 50,000 images of ten classes take seconds.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    labels
        int64, shape (N,).
    progress
        Who is told.
    """
    exact = exact_groups(images)
    if min(images.shape[1:3]) < SMALLEST_SIDE_PX:
        return exact
    thumbnails = make_thumbnails(images)
    plain, _ = pixel_descriptors(thumbnails)
    with progress.task("Looking for duplicates", len(images), unit="images") as task:
        parts = []
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            parts.append(_similar_pairs(plain[members], members))
            task.advance(len(members))
    pairs = ImagePairs.joined(*parts)
    pairs = pairs.take(exact[pairs.first] != exact[pairs.second])
    found = pairs.take(pixel_agreement(thumbnails, pairs) >= LEAST_AGREEMENT)
    near = groups_of_pairs(len(images), found.first, found.second)
    return joined_groups(exact, _believable(near, labels))


def _believable(groups: Groups, labels: Labels) -> Groups:
    """Take groups apart that hold a large part of a class.

    Where all images of a class look alike (strokes, textures, frames of one film), pair hangs on
    pair, and a fold could not be cut. Such a class the audit shows.
    """
    sizes = np.bincount(groups, minlength=len(groups))[groups]
    largest = np.maximum(_LARGEST_SHARE * np.bincount(labels)[labels], _ALWAYS_BELIEVED)
    result: Groups = np.where(sizes > largest[groups], np.arange(len(groups)), groups)
    return result


def _similar_pairs(vectors: Vectors, members: Indices) -> ImagePairs:
    indices, similarities = nearest(vectors, vectors, _NEIGHBOURS)
    rows, places = np.nonzero(similarities >= _LEAST_SIMILARITY)
    return ImagePairs.of(members[rows], members[indices[rows, places]], is_mirrored=False)
