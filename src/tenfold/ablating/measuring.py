"""What each ingredient brings, from the answers of all trainings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

from tenfold.ablating.trainings import AblationTrainings
from tenfold.core.records.ablation import AblatedVariant, AblationRecord
from tenfold.core.records.interval import Interval
from tenfold.data.sample_randomness import derive_seed
from tenfold.metrics.paired import paired_interval
from tenfold.metrics.shares import LEVEL


def ablation_record(trainings: AblationTrainings, data: str, *, jobs: int) -> AblationRecord:
    """Compare every variant with the whole recipe, seed by seed and image by image."""
    records, rights = zip(
        *(trainings.result(number) for number in range(trainings.count)), strict=True
    )
    variants, failed = [], []
    whole_right = _of_variant(trainings, rights, 0)
    for place, ablation in enumerate(trainings.variants):
        right = _of_variant(trainings, rights, place)  # (seeds, images)
        own = [records[trainings.number(place, seed)] for seed in range(len(trainings.seeds))]
        if any(record.failure for record in own):
            failed.append(ablation.name)
        accuracies = tuple(float(value) for value in right.mean(axis=1))
        variant = AblatedVariant(
            name=ablation.name,
            title=ablation.title,
            changes=ablation.changes,
            accuracies=accuracies,
            accuracy=statistics.fmean(accuracies),
            seconds=statistics.fmean(record.seconds for record in own),
        )
        variants.append(
            variant if place == 0 else _compared(variant, whole_right - right, trainings)
        )
    whole, others = variants[0], sorted(variants[1:], key=lambda one: -(one.difference or 0.0))
    return AblationRecord(
        recipe=trainings.settings.recipe.name,
        data=data,
        model=trainings.settings.model.name,
        seeds=trainings.seeds,
        epochs=max(record.epochs for record in records),
        train_count=len(trainings.images.train),
        validation_count=len(trainings.images.validation),
        whole=whole,
        variants=tuple(others),
        device=trainings.device.description,
        threads=max(1, trainings.device.threads // jobs),
        jobs=jobs,
        sentences=tuple(_sentences(others, failed)),
    )


def _of_variant(
    trainings: AblationTrainings, rights: Sequence[npt.NDArray[np.bool_]], place: int
) -> npt.NDArray[np.float64]:
    rows = [rights[trainings.number(place, seed)] for seed in range(len(trainings.seeds))]
    return np.stack(rows).astype(np.float64)


def _compared(
    variant: AblatedVariant, differences: npt.NDArray[np.float64], trainings: AblationTrainings
) -> AblatedVariant:
    """Put the differences in; `differences` has a row a seed and a column an image."""
    by_seed = tuple(float(value) for value in differences.mean(axis=1))
    generator = np.random.default_rng(derive_seed(trainings.settings.seed, "ablation"))
    # Images are drawn again, each with all seeds' answers on it.
    return variant.model_copy(
        update={
            "difference": statistics.fmean(by_seed),
            "interval": paired_interval(differences.mean(axis=0), generator),
            "differences": by_seed,
            "seed_interval": _student_interval(by_seed),
        }
    )


def _student_interval(values: Sequence[float]) -> Interval | None:
    """Give Student's 95% interval of a mean (1908, doi:10.2307/2331554)."""
    count = len(values)
    if count < 2:
        return None
    quantile = float(student_t.ppf(1 - (1 - LEVEL) / 2, count - 1))
    half = quantile * statistics.stdev(values) / math.sqrt(count)
    mean = statistics.fmean(values)
    return Interval(low=mean - half, high=mean + half)


def is_clear(variant: AblatedVariant) -> bool:
    """Say whether neither other images nor other seeds make the difference zero."""
    intervals = [i for i in (variant.interval, variant.seed_interval) if i is not None]
    return bool(intervals) and not any(interval.holds(0.0) for interval in intervals)


def _sentences(variants: list[AblatedVariant], failed: list[str]) -> list[str]:
    helping = [one.name for one in variants if is_clear(one) and (one.difference or 0.0) > 0]
    harming = [one.name for one in variants if is_clear(one) and (one.difference or 0.0) < 0]
    unclear = [one.name for one in variants if not is_clear(one)]
    sentences = []
    if helping:
        sentences.append(f"Clearly worth having: {', '.join(helping)}.")
    if harming:
        sentences.append(f"Clearly better without, in so short a training: {', '.join(harming)}.")
    if unclear:
        sentences.append(f"Not distinguishable from no effect: {', '.join(unclear)}.")
    if failed:
        sentences.append(f"Diverged at least once, and counted as all wrong: {', '.join(failed)}.")
    sentences.append(
        "One ingredient is off at a time, and nothing is tuned again for it; the images are held "
        "out of the training split, the test split was not opened."
    )
    return sentences
