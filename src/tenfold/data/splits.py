"""Splits and samples that keep classes' shares, and groups of images that stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, SettingsError, UnknownNameError
from tenfold.core.text import shortlist
from tenfold.data.dataset import Groups, Indices, Labels
from tenfold.data.store import AnyImages

HoldoutMethod = Literal["last", "stratified"]

DIGEST_BYTES = 16
"""Of an image's pixels; 2^64 images would be needed to find two by chance."""


def holdout_split(
    labels: Labels,
    *,
    fraction: float,
    method: HoldoutMethod,
    seed: int,
    classes: Sequence[str] = (),
    groups: Groups | None = None,
    given: npt.NDArray[np.bool_] | None = None,
) -> tuple[Indices, Indices]:
    """Hold a share of the training images out for validation, or those that are given for it.

    Parameters
    ----------
    labels
        int64, shape (N,).
    fraction
        Share of the images to hold out, from 0 (none, the given ones neither) to less than 1.
    method
        ``last``: the last images, the first ``int(N * (1 - fraction))`` being kept, as Keras'
        ``validation_split`` does. ``stratified``: the share of each class, rounded, drawn by
        `seed`; at least one image of a class that has two, and never all of them.
    seed
        Of the stratified draw.
    classes
        Names of the classes, for messages; without them the labels are named.
    groups
        Near-duplicates, see `tenfold.data.splits`: the stratified draw does not tear
        them apart. ``last`` does, as Keras does.
    given
        bool, shape (N,): images that the data set itself sets aside to validate by. They are held
        out whatever `method` says and however many they are.

    Returns
    -------
    train, validation
        Indices, each in ascending order.

    Raises
    ------
    SettingsError
        If `fraction` or `method` is not valid.
    DataError
        If no image would be held out, or all images of a class would be.
    """
    if not 0 <= fraction < 1:
        raise SettingsError(
            f"The validation fraction is {fraction}; it must be at least 0 and less than 1, "
            "for example 0.1."
        )
    is_held_out = np.zeros(len(labels), dtype=bool)
    if fraction > 0 and given is not None:
        is_held_out = given
    elif fraction > 0 and method == "last":
        is_held_out[int(len(labels) * (1 - fraction)) :] = True
    elif fraction > 0 and method == "stratified":
        rng = np.random.default_rng(seed)
        is_held_out = _stratified_draw(
            labels, fraction, groups, lambda of: rng.permutation(np.flatnonzero(of))
        )
    elif method not in ("last", "stratified"):
        raise UnknownNameError("validation method", method, ("last", "stratified"))
    if fraction > 0 and not is_held_out.any():
        if len(labels) == len(np.unique(labels)):
            raise DataError(
                f"There is one training image a class ({len(labels)} in all), so none can be held "
                "out to validate by. Add images: at least two of one class, better twenty of each; "
                "or hold none out: --set training.validation_fraction=0"
            )
        raise DataError(
            f"A validation fraction of {fraction} of {len(labels)} images is no image at all. "
            "Use more images or a larger fraction, or set training.validation_fraction to 0."
        )
    untrained = np.setdiff1d(labels, labels[~is_held_out])
    if len(untrained) and given is not None:
        raise DataError(
            f"All images of {named(untrained, classes)} are validation images, so none is left to "
            "train on. Move some of them to the training images, or train on all images with "
            "training.validation_fraction=0."
        )
    if len(untrained):
        raise DataError(
            f"The last {fraction:.0%} of the images hold all images of {named(untrained, classes)}"
            ", so none is left to train on. Set training.validation_method to 'stratified', which "
            "takes the same share of every class."
        )
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def possible_holdout(
    labels: Labels,
    *,
    fraction: float,
    method: HoldoutMethod,
    seed: int,
    classes: Sequence[str] = (),
    groups: Groups | None = None,
    given: npt.NDArray[np.bool_] | None = None,
) -> tuple[Indices, Indices, str | None]:
    """Hold out as `holdout_split` does, or as nearly so as the images allow.

    Returns
    -------
    train, validation
        Indices; no validation images where every class has one image.
    note
        What is otherwise than asked, for people; None if nothing is.
    """
    asked: dict[str, Any] = {"fraction": fraction, "seed": seed, "groups": groups}
    try:
        found = holdout_split(labels, method=method, classes=classes, given=given, **asked)
        return *found, None
    except DataError as error:
        problem = str(error).split(". ")[0]
    if method != "stratified" or given is not None:
        try:
            train, validation = holdout_split(labels, method="stratified", **asked)
        except DataError:
            pass
        else:
            note = (
                f"{problem}; the validation images were drawn from every class instead "
                "(training.validation_method 'stratified')."
            )
            return train, validation, note
    note = (
        "Every class has one training image, so none was held out for validation: the last epoch's "
        "weights are taken, and nothing tells whether they are the best."
    )
    return np.arange(len(labels)), np.empty(0, np.int64), note


def stratified_split(
    labels: Labels,
    test_fraction: float,
    rng: np.random.Generator,
    groups: Groups | None = None,
) -> tuple[Indices, Indices]:
    """Give the indices of a training and a test split, each in a random order.

    Of every class the share `test_fraction`, rounded, goes to the test split: at least one image
    and never all of them. A class with a single image stays in training.

    Parameters
    ----------
    labels
        int64, shape (N,).
    test_fraction
        Between 0 and 1, both excluded.
    rng
        Where the order comes from.
    groups
        Images that must be in one split, see `tenfold.data.splits`: a copy of a training
        image in the test split would make the scores too good.

    Raises
    ------
    SettingsError
        If `test_fraction` is out of range.
    """
    if not 0.0 < test_fraction < 1.0:
        raise SettingsError(
            f"test_fraction is {test_fraction}; it must lie between 0 and 1, for example 0.2."
        )
    order = rng.permutation(len(labels))
    is_test = _stratified_draw(labels, test_fraction, groups, lambda of: order[of[order]])
    return order[~is_test[order]], order[is_test[order]]


def stratified_sample(labels: Labels, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw about `count` images, of each class its share, and at least one where it has any.

    Parameters
    ----------
    labels
        int64, shape (N,).
    count
        Images wanted; all are given where there are no more.
    seed
        Of the draw.

    Returns
    -------
    ndarray
        int64, indices in ascending order.
    """
    if len(labels) <= count:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: max(round(len(members) * count / len(labels)), 1)])
    return np.sort(np.concatenate(chosen))


def _stratified_draw(
    labels: Labels,
    fraction: float,
    groups: Groups | None,
    shuffled: Callable[[npt.NDArray[np.bool_]], Indices],
) -> npt.NDArray[np.bool_]:
    """Draw a share of each class, rounded, group by group: one image at least and never all.

    `shuffled` gives the places of a mask in the order that they are drawn in.
    """
    torn = divisible_groups(labels, groups, 2)
    if groups is not None and (torn != groups).any():
        everyone = shuffled(np.ones(len(labels), bool))
        whole = whole_group_parts(labels, groups, max(2, round(1 / fraction)), everyone)
        if whole is not None:
            is_first_part: npt.NDArray[np.bool_] = whole == 0
            return is_first_part
    groups = torn
    is_first = representatives(groups)
    is_drawn = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = shuffled((labels == label) & is_first)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        is_drawn[members[:count]] = True
    result: npt.NDArray[np.bool_] = is_drawn[groups]
    return result


def newest_part(
    order: npt.NDArray[np.int64], fraction: float, groups: Groups | None = None
) -> npt.NDArray[np.bool_]:
    """Say which images are the newest `fraction`, about: those of one moment are in one part.

    A group is as new as the newest of its images.
    """
    if groups is not None:
        newest = np.zeros(len(order), np.int64)
        np.maximum.at(newest, groups, order)
        order = newest[groups]
    moments, counts = np.unique(order, return_counts=True)
    if len(moments) < 2:
        return np.zeros(len(order), dtype=bool)
    after = np.cumsum(counts[::-1])[::-1]  # images of this moment and later
    share = np.abs(after / len(order) - fraction)
    first = int(share[1:].argmin()) + 1  # never all of them
    result: npt.NDArray[np.bool_] = order >= moments[first]
    return result


def named(labels: npt.NDArray[np.int64], classes: Sequence[str]) -> str:
    """Name up to five classes, for messages; without names the labels are named."""
    names = [repr(classes[label]) if classes else f"label {label}" for label in labels.tolist()]
    return shortlist(names, 5)


def exact_groups(*parts: AnyImages) -> Groups:
    """Group images whose pixels are the same, byte for byte.

    Parameters
    ----------
    parts
        uint8, shape (N, H, W, C) each; numbered on from one part to the next.
    """
    return groups_of_digests(pixel_digest(image) for image in chain.from_iterable(parts))


def pixel_digest(image: npt.NDArray[np.uint8]) -> bytes:
    """Give what is the same for images of the same pixels, 16 bytes."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=DIGEST_BYTES).digest()


def groups_of_digests(digests: Iterable[bytes]) -> Groups:
    """Group images of the same digest."""
    first_place: dict[bytes, int] = {}
    places = (first_place.setdefault(digest, place) for place, digest in enumerate(digests))
    return np.fromiter(places, np.int64)


def groups_of_pairs(count: int, first: Indices, second: Indices) -> Groups:
    """Group images that are joined by pairs, directly or over others.

    Parameters
    ----------
    count
        Number of images.
    first, second
        int64, shape (P,): the images of each pair.
    """
    from scipy.sparse import coo_array  # slow to import
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    _, component = connected_components(links, directed=False)
    _, first_place = np.unique(component, return_index=True)
    groups: Groups = first_place[component].astype(np.int64)
    return groups


def joined_groups(one: Groups, other: Groups) -> Groups:
    """Group images that either of two groupings puts together."""
    place = np.arange(len(one))
    return groups_of_pairs(len(one), np.concatenate([place, place]), np.concatenate([one, other]))


def representatives(groups: Groups) -> npt.NDArray[np.bool_]:
    """Say of each image whether it is the first of its group; shape (N,)."""
    result: npt.NDArray[np.bool_] = groups == np.arange(len(groups))
    return result


def regrouped(groups: Groups, chosen: Indices) -> Groups:
    """Give the groups of some of the images, numbered by their places among these."""
    _, first_place, inverse = np.unique(groups[chosen], return_index=True, return_inverse=True)
    result: Groups = first_place[inverse].astype(np.int64)
    return result


def divisible_groups(labels: Labels, groups: Groups | None, parts: int) -> Groups:
    """Give the groups, those of classes with fewer groups than parts taken apart.

    A class of ten copies of one image can be held out in part or not at all; the first is asked
    for. The images of a group that spans such a class and another go apart too.
    """
    alone = np.arange(len(labels))
    if groups is None or not len(labels):
        return alone
    present = np.unique(labels)
    while True:
        counts = np.bincount(labels[representatives(groups)], minlength=present[-1] + 1)
        scarce = present[counts[present] < parts]
        is_torn = np.isin(groups, groups[np.isin(labels, scarce)]) & (groups != alone)
        if not is_torn.any():
            return groups
        groups = np.where(np.isin(groups, groups[is_torn]), alone, groups)


def whole_group_parts(
    labels: Labels, groups: Groups, parts: int, order: Indices, *, is_exact: bool = False
) -> npt.NDArray[np.int64] | None:
    """Cut images into parts of about the same classes without tearing a group.

    For groups that hold several classes, as the digits of one writer: there a group cannot stand
    for its first image's class. By scikit-learn's ``StratifiedGroupKFold``.

    Parameters
    ----------
    labels
        int64, shape (N,).
    groups
        Shape (N,).
    parts
        At least 2; fewer are made where a class lies in fewer groups.
    order
        A permutation of the images, by which ties are decided.
    is_exact
        Whether fewer parts than asked for will not do.

    Returns
    -------
    int64, shape (N,): the part of each image; None if a class lies in too few groups, or would be
    in one part alone.
    """
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    least = int(np.unique(pairs[0], return_counts=True)[1].min())
    if min(parts, least) < 2 or (is_exact and least < parts):
        return None
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(min(parts, least))
    part_of = np.empty(len(labels), np.int64)
    drawn = labels[order]
    numbered = regrouped(groups, order)  # By their first place in this order.
    for part, (_, members) in enumerate(splitter.split(np.zeros(len(order)), drawn, numbered)):
        part_of[order[members]] = part
    for part in range(splitter.n_splits):
        if len(np.setdiff1d(labels, labels[part_of != part])):
            return None
    return part_of
