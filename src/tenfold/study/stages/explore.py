"""Explore: class distribution, sample images and pixel statistics of the training split."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tenfold.core.randomness import derive_seed, sample_uniforms
from tenfold.core.records.data import ClassStatistics, ExploreRecord
from tenfold.data.augmentation import augmentation_named
from tenfold.data.dataset import ImageSplit, read_split, write_arrays
from tenfold.data.statistics import pixel_statistics
from tenfold.models.model import as_pixels
from tenfold.study.recipe import StudySettings
from tenfold.study.stages.stage import RECORD, Stage, StageContext

_CHANNEL_NAMES = {1: ("gray",), 3: ("red", "green", "blue")}


class ExploreStage(Stage):
    """Looks at the training split alone."""

    name = "explore"
    position = 2
    version = 1
    summary = "class distribution, sample images, pixel statistics"
    is_dispensable = True

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the settings that the result depends on."""
        return {
            "explore": settings.explore.plain(),
            "seed": settings.seed,
            "augmentation": shown_policy(settings),
        }

    def run(self, context: StageContext) -> None:
        """Measure and draw samples."""
        acquired = context.acquired()
        train = read_split(context.inputs["acquire"], "train")
        started = time.perf_counter()
        statistics = pixel_statistics(train.images, train.labels, len(acquired.classes))
        seconds = time.perf_counter() - started
        settings = context.settings
        samples, counts = _samples(
            train, len(acquired.classes), settings.explore.samples_per_class, settings.seed
        )
        write_arrays(context.folder / "samples.npz", images=samples, counts=counts)
        policy = shown_policy(settings)
        original, images = _augmented(
            train,
            policy,
            settings.explore.augmented_samples,
            mirror_keeps_class=acquired.mirror_keeps_class,
            seed=settings.seed,
        )
        write_arrays(context.folder / "augmented.npz", original=original, images=images)
        ExploreRecord(
            classes=tuple(
                ClassStatistics(name=name, count=count, mean=mean, standard_deviation=deviation)
                for name, count, mean, deviation in zip(
                    acquired.classes,
                    statistics.class_counts,
                    statistics.class_means,
                    statistics.class_standard_deviations,
                    strict=True,
                )
            ),
            channel_names=_CHANNEL_NAMES[acquired.channels],
            channel_means=tuple(statistics.channel_means),
            channel_standard_deviations=tuple(statistics.channel_standard_deviations),
            augmentation=policy,
            augmentation_description=augmentation_named(policy).describe(
                acquired.mirror_keeps_class
            ),
            seconds=seconds,
        ).write(context.folder / RECORD)


def shown_policy(settings: StudySettings) -> str:
    """Give the policy to show: the training's, or else the one cross-validation uses."""
    policies = [settings.training.augmentation]
    if "warm-start" in settings.cross_validate.protocols:
        policies.append(settings.cross_validate.warm_start.augmentation)
    return next((policy for policy in policies if policy != "none"), "none")


def _samples(
    train: ImageSplit, class_count: int, per_class: int, seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Draw images of each class without replacement: (classes, per_class, H, W, C) and counts."""
    images = np.zeros((class_count, per_class, *train.images.shape[1:]), np.uint8)
    counts = np.zeros(class_count, np.int64)
    for label in range(class_count):
        generator = np.random.default_rng(derive_seed(seed, "samples", label))
        members = np.flatnonzero(train.labels == label)
        chosen = generator.permutation(members)[:per_class]
        images[label, : len(chosen)] = train.images[chosen]
        counts[label] = len(chosen)
    return images, counts


def _augmented(
    train: ImageSplit, policy: str, count: int, *, mirror_keeps_class: bool, seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Show one image under the policy as `count` epochs would see it."""
    index = int(np.random.default_rng(derive_seed(seed, "augmented")).integers(len(train)))
    original = train.images[index]
    augmentation = augmentation_named(policy)
    rule = augmentation.policy
    draws = [
        sample_uniforms(seed, epoch, np.array([index]), rule.uniforms_per_sample)
        for epoch in range(count)
    ]
    pixels = as_pixels(np.repeat(original[None], count, axis=0), torch.device("cpu"))
    uniforms = torch.from_numpy(np.concatenate(draws)).float().clamp(max=1 - 2**-24)
    augmented = rule(pixels, uniforms, mirror_keeps_class=mirror_keeps_class)
    if augmentation.mixing is not None:
        mixing = augmentation.mixing
        partners = np.random.default_rng(derive_seed(seed, "augmented partners")).integers(
            len(train), size=count
        )
        shares = sample_uniforms(seed, 0, np.arange(count), mixing.uniforms_per_sample)
        others = as_pixels(train.images[partners], torch.device("cpu"))
        augmented, _ = mixing(
            augmented,
            rule(others, uniforms, mirror_keeps_class=mirror_keeps_class),
            torch.from_numpy(shares).float().clamp(max=1 - 2**-24),
        )
    rounded = augmented.float().round().clamp(0, 255).to(torch.uint8)
    return original, rounded.permute(0, 2, 3, 1).numpy()


STAGE = ExploreStage()
