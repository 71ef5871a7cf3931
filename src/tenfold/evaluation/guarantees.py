"""What a trained network promises by the images that its training held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenfold.core.records.guarantees import AlsoChose, GuaranteesRecord, UnlikeRecord
from tenfold.data.dataset import ImageSplit, Indices, Labels
from tenfold.data.splits import stratified_sample
from tenfold.data.store import AnyImages, some_images
from tenfold.evaluation.conformal import DEFAULT_COVERAGE, calibrate_sets, few_images_note
from tenfold.evaluation.unlike import REFERENCE_IMAGES, UnlikeScore, unlike_record
from tenfold.training.head import ENOUGH_VALIDATION_IMAGES
from tenfold.training.temperature import calibrated_probabilities

Floats = npt.NDArray[np.float32]
See = Callable[[AnyImages], tuple[Floats, Floats]]
"""Gives features, shape (N, D), and logits, shape (N, K)."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a network makes of images that it was not trained on.

    Parameters
    ----------
    features, logits
        Shapes (N, D) and (N, K).
    labels
        int64, shape (N,).
    """

    features: Floats
    logits: Floats
    labels: Labels


def chosen_by_validation(
    *, temperature: float | None, is_best_epoch: bool, has_probe: bool, count: int
) -> tuple[AlsoChose, ...]:
    """Name what of a training its validation images chose.

    Parameters
    ----------
    temperature
        None where none was fitted.
    is_best_epoch
        Whether the weights are those of the best of several epochs.
    has_probe
        Whether a head was fitted on frozen features.
    count
        Of the validation images.
    """
    chosen: list[AlsoChose] = []
    if temperature is not None:
        chosen.append("temperature")
    if is_best_epoch:
        chosen.append("epoch")
    if has_probe and count >= ENOUGH_VALIDATION_IMAGES:
        chosen.append("penalty")
    return tuple(chosen)


def fit_unlike(
    see: See, train: ImageSplit, trained_on: Indices, held_out: HeldOut, seed: int
) -> UnlikeScore:
    """Fit the score of unlike images to a sample of those that the network was trained on.

    Parameters
    ----------
    see
        The network.
    train, trained_on
        Images, and the places of those that the network was trained on.
    held_out
        Others of the same data set.
    seed
        Of the sample.
    """
    chosen = trained_on[stratified_sample(train.labels[trained_on], REFERENCE_IMAGES, seed)]
    reference, _ = see(some_images(train.images, chosen))
    return UnlikeScore.fit(reference, held_out.features, held_out.logits)


def validated_promises(
    see: See,
    train: ImageSplit,
    held_out: HeldOut | None,
    *,
    temperature: float | None,
    also_chose: tuple[AlsoChose, ...],
    seed: int,
) -> tuple[GuaranteesRecord, UnlikeScore | None]:
    """Give prediction sets and the score of unlike images by the validation images alone.

    Parameters
    ----------
    see
        The trained network.
    train
        What it was trained on.
    held_out
        The validation images; None without any.
    temperature, also_chose
        See `chosen_by_validation`.
    seed
        Of the training images that are kept.
    """
    if held_out is None:
        return GuaranteesRecord(notes=(few_images_note(0, DEFAULT_COVERAGE),)), None
    sets = calibrate_sets(
        calibrated_probabilities(held_out.logits, temperature),
        held_out.labels,
        coverage=DEFAULT_COVERAGE,
        calibrated_on="validation",
        also_chose=also_chose,
    )
    count = len(held_out.labels)
    notes = () if sets is not None else (few_images_note(count, DEFAULT_COVERAGE),)
    score = fit_unlike(see, train, np.arange(len(train)), held_out, seed)
    unlike: UnlikeRecord | None = unlike_record(score.score(held_out.features, held_out.logits))
    record = GuaranteesRecord(sets=sets, unlike=unlike, notes=notes)
    return record, None if unlike is None else score
