"""How many folds some images allow, and which images each fold validates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, SettingsError
from tenfold.data.dataset import Groups, Indices, Labels
from tenfold.data.splits import (
    divisible_groups,
    named,
    regrouped,
    representatives,
    whole_group_parts,
)


@dataclass(frozen=True)
class FoldPlan:
    """How many folds some images allow.

    Parameters
    ----------
    folds
        0 if there can be none.
    alone
        Indices of images that are their class's only one: all folds train on them.
    notes
        What is otherwise than asked, for people.
    """

    folds: int
    alone: Indices
    notes: tuple[str, ...]


def plan_folds(labels: Labels, asked: int, *, classes: Sequence[str] = ()) -> FoldPlan:
    """Give as many folds as were asked for, or fewer where a class has fewer images.

    Parameters
    ----------
    labels
        int64, shape (N,).
    asked
        At least 2.
    classes
        Names of the classes, for messages; without them the labels are named.
    """
    present, counts = np.unique(labels, return_counts=True)
    lone, rest = present[counts == 1], counts[counts > 1]
    if len(rest) < 2:
        return FoldPlan(
            0,
            np.flatnonzero(np.isin(labels, lone)),
            (
                "Cross-validation was left out: it needs two or more training images of at least "
                f"two classes, but there is one image of {named(lone, classes)}. Add images of "
                "these classes.",
            ),
        )
    folds = min(asked, int(rest.min()))
    notes = []
    if folds < asked:
        small = present[(counts > 1) & (counts < asked)]
        notes.append(
            f"Cut into {folds} folds instead of {asked}: every fold needs an image of every class, "
            f"and there are fewer than {asked} of {named(small, classes)}."
        )
    if len(lone):
        is_one = len(lone) == 1
        notes.append(
            f"The only training image of {'' if is_one else 'each of '}{named(lone, classes)} is "
            "trained on in every fold and validates in none: "
            f"{'this class has' if is_one else 'these classes have'} no cross-validated score."
        )
    return FoldPlan(folds, np.flatnonzero(np.isin(labels, lone)), tuple(notes))


def stratified_folds(
    labels: Labels,
    folds: int,
    seed: int,
    *,
    alone: Indices | None = None,
    classes: Sequence[str] = (),
    groups: Groups | None = None,
) -> list[tuple[Indices, Indices]]:
    """Cut the images into folds with the same share of each class, drawn by `seed`.

    Parameters
    ----------
    labels
        int64, shape (N,).
    folds
        At least 2.
    seed
        Of the draw, at least 0.
    alone
        Images that train in every fold and validate in none, see `FoldPlan`.
    classes
        Names of the classes, for messages; without them the labels are named.
    groups
        Near-duplicates, see `tenfold.data.splits`: a group lies in one fold, unless its
        class has fewer groups than there are folds.

    Returns
    -------
    list of (train, validation)
        Indices in ascending order; every other image validates in exactly one fold.

    Raises
    ------
    SettingsError
        If there are fewer than 2 folds.
    DataError
        If a class has fewer images than there are folds.
    """
    if folds < 2:
        raise SettingsError(f"Cross-validation needs at least 2 folds, got {folds}.")
    is_cut = np.ones(len(labels), bool)
    is_cut[[] if alone is None else alone] = False
    rest = np.flatnonzero(is_cut)
    present, counts = np.unique(labels[rest], return_counts=True)
    if len(present) == 0:
        raise DataError("There are no images to cut into folds.")
    if (counts < folds).any():
        smallest = int(counts.min())
        remedy = f"use at most {smallest} folds or " if smallest >= 2 else ""
        raise DataError(
            f"{folds} folds need at least {folds} images of every class, but there are fewer of "
            f"{named(present[counts < folds], classes)} ({smallest} of the smallest): {remedy}"
            "add images of these classes, or leave these classes out."
        )
    from sklearn.model_selection import StratifiedKFold

    # An integer `random_state` would be cut to 32 bits; our seeds have 63.
    random_state = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=random_state)
    groups = None if groups is None else regrouped(groups, rest)
    torn = divisible_groups(labels[rest], groups, folds)
    if groups is not None and (torn != groups).any():
        order = np.random.default_rng(seed).permutation(len(rest))
        whole = whole_group_parts(labels[rest], groups, folds, order, is_exact=True)
        if whole is not None:
            fold_of = np.full(len(labels), -1)
            fold_of[rest] = whole
            return _folds(fold_of, folds)
    groups = torn
    drawn = np.flatnonzero(representatives(groups))
    drawn_fold = np.zeros(len(rest), np.int64)
    pairs = splitter.split(np.zeros(len(drawn)), labels[rest[drawn]])
    for fold, (_, validation) in enumerate(pairs):
        drawn_fold[drawn[validation]] = fold
    fold_of = np.full(len(labels), -1)
    fold_of[rest] = drawn_fold[groups]
    return _folds(fold_of, folds)


def ordered_folds(
    order: npt.NDArray[np.int64], folds: int, groups: Groups | None = None
) -> list[tuple[Indices, Indices]] | None:
    """Cut images into folds that are blocks of time, of about the same size.

    Parameters
    ----------
    order
        int64, shape (N,): rank in time.
    folds
        At least 2.
    groups
        Images that stay together: a group lies where the newest of its images does.

    Returns
    -------
    None if there are fewer moments than folds.
    """
    if groups is not None:
        newest = np.zeros(len(order), np.int64)
        np.maximum.at(newest, groups, order)
        order = newest[groups]
    moments, counts = np.unique(order, return_counts=True)
    if len(moments) < folds:
        return None
    before = np.cumsum(counts) - counts / 2
    block = np.minimum((before * folds / len(order)).astype(np.int64), folds - 1)
    if len(np.unique(block)) < folds:
        return None
    fold_of = block[np.searchsorted(moments, order)]
    return _folds(fold_of, folds)


def _folds(fold_of: npt.NDArray[np.int64], folds: int) -> list[tuple[Indices, Indices]]:
    return [
        (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(folds)
    ]
