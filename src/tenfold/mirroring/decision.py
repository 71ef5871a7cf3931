"""Decide whether images may be mirrored: measured, and in doubt by what is likely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tenfold.core.randomness import derive_seed
from tenfold.core.records.data import MirrorRecord
from tenfold.data.dataset import Groups, ImageSplit, Labels
from tenfold.data.splits import exact_groups
from tenfold.mirroring.class_names import are_characters, named_pairs
from tenfold.mirroring.measurement import MirrorMeasurement, measure_mirroring
from tenfold.mirroring.setting import MirrorSetting

MEASURED_IMAGES = 1200
"""Time grows with its square and more; 28 images of each of 43 classes are enough to tell."""
MEASURED_IN_BUDGET = 400
"""Where seconds count."""


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
