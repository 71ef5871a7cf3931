"""Splits by index: a held-out part, and folds."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from tenfold.core.errors import DataError, SettingsError
from tenfold.data.dataset import Labels

Indices = npt.NDArray[np.int64]


def holdout_split(
    labels: Labels, *, fraction: float, method: Literal["last", "stratified"], seed: int
) -> tuple[Indices, Indices]:
    """Split into a part to train on and a part held out.

    Parameters
    ----------
    labels
        int64, shape (N,).
    fraction
        Share to hold out, 0 to below 1; 0 holds nothing out.
    method
        ``last``: the last images in order, as Keras' ``validation_split``; ``stratified``: the
        same share of every class, drawn with `seed`, and of every class with two images or more
        at least one.
    seed
        Of the stratified draw.

    Returns
    -------
    train, held_out
        Indices, each sorted.

    Raises
    ------
    DataError
        If a class would be left without a training image, or nothing could be held out.
    """
    everything = np.arange(len(labels))
    if fraction == 0:
        return everything, everything[:0]
    if method == "last":
        train_count = int(len(labels) * (1 - fraction))
        train, held_out = everything[:train_count], everything[train_count:]
    else:
        train, held_out = _stratified(labels, fraction, seed)
    lost = sorted(set(np.unique(labels).tolist()) - set(np.unique(labels[train]).tolist()))
    if lost:
        raise DataError(
            f"Holding out {fraction:.0%} of {len(labels)} images ({method}) leaves no training "
            f"image of {len(lost)} classes (label {lost[0]} is the first). Add images, hold out "
            "less, or use the method 'stratified'."
        )
    if len(held_out) == 0:
        raise DataError(
            f"{len(labels)} images are too few to hold out {fraction:.0%} of them for validation. "
            "Add images, or set training.validation_fraction to 0."
        )
    return train, held_out


def _stratified(labels: Labels, fraction: float, seed: int) -> tuple[Indices, Indices]:
    generator = np.random.default_rng(seed)
    is_held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        is_held_out[members[:count]] = True
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def stratified_folds(labels: Labels, folds: int, seed: int) -> list[tuple[Indices, Indices]]:
    """Split into `folds` parts with the same share of every class, drawn with `seed`.

    Returns
    -------
    list of (train, validation)
        Sorted indices; every image is in the validation part of one fold.

    Raises
    ------
    SettingsError
        If `folds` is below 2.
    DataError
        If a class has fewer images than there are folds.
    """
    if folds < 2:
        raise SettingsError(f"Cross-validation needs at least 2 folds, got {folds}.")
    counts = np.bincount(labels)
    too_few = [label for label, count in enumerate(counts) if 0 < count < folds]
    if too_few:
        shown = ", ".join(f"class {label}: {counts[label]}" for label in too_few[:5])
        most = int(counts[counts > 0].min())
        advice = (
            f"Use at most {most} folds (cross_validate.folds)" if most >= 2 else "Add images"
        )
        raise DataError(
            f"{folds} folds need at least {folds} training images of every class, but "
            f"{len(too_few)} classes have fewer ({shown}). {advice}, or leave those classes out."
        )
    # scikit-learn takes seeds of 32 bits.
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    return [
        (train.astype(np.int64), validation.astype(np.int64))
        for train, validation in splitter.split(np.zeros(len(labels)), labels)
    ]
