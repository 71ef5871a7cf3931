"""Batches of mixed images and of rebalanced classes: functions of seed, epoch and sample alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tenfold.data.augmentation import augmentation_named, augmentation_names
from tenfold.data.dataset import ImageSplit
from tenfold.training.batches import MixedLabels, Targets, TrainingBatches

MakeSplit = Callable[..., ImageSplit]
NAMES = (*augmentation_names(), "strong+mixup+cutmix")
IMAGES_PER_EPOCH = (None, (9, 9, 9), (3, 3, 3))


def batches_of(
    split: ImageSplit, batch_size: int, name: str, images_per_epoch: tuple[int, ...] | None
) -> TrainingBatches:
    augmentation = augmentation_named(name)
    return TrainingBatches(
        split,
        batch_size,
        augmentation.policy,
        True,
        3,
        torch.device("cpu"),
        augmentation.mixing,
        images_per_epoch,
    )


def plain(targets: Targets) -> tuple[Tensor, ...]:
    if isinstance(targets, MixedLabels):
        return targets.labels, targets.partners, targets.share
    return (targets,)


def joined(batches: TrainingBatches, epoch: int, first_step: int = 0) -> list[Tensor]:
    rows = [
        (pixels, *plain(targets)) for pixels, targets in batches.epoch(epoch, first_step=first_step)
    ]
    return [torch.cat(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("images_per_epoch", IMAGES_PER_EPOCH, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_depends_on_neither_batch_size_nor_first_step(
    name: str, images_per_epoch: tuple[int, ...] | None, make_split: MakeSplit
) -> None:
    split = make_split(20)
    expected = joined(batches_of(split, 4, name, images_per_epoch), 5)
    assert len(expected[0]) == (20 if images_per_epoch is None else sum(images_per_epoch))
    for column, other in zip(
        expected, joined(batches_of(split, 7, name, images_per_epoch), 5), strict=True
    ):
        torch.testing.assert_close(column, other, rtol=0, atol=1e-3)
    for column, rest in zip(
        expected, joined(batches_of(split, 4, name, images_per_epoch), 5, 1), strict=True
    ):
        assert torch.equal(column[4:], rest)


def test_an_epoch_has_the_images_of_each_class_that_are_wanted(make_split: MakeSplit) -> None:
    batches = batches_of(make_split(20), 8, "none", (9, 3, 0))
    _, labels = joined(batches, 1)
    assert np.bincount(labels, minlength=3).tolist() == [9, 3, 0]
    assert (batches.epoch_length, batches.steps_per_epoch) == (12, 2)


def test_a_repeated_image_is_augmented_differently(make_split: MakeSplit) -> None:
    split = make_split(3)
    pixels, labels = joined(batches_of(split, 32, "report", (8, 8, 8)), 0)
    for label in range(3):
        same = pixels[labels == label]
        assert len(same) == 8
        assert len({tuple(image.flatten().tolist()) for image in same}) == 8


def test_a_mixture_is_of_the_image_and_its_partner(make_split: MakeSplit) -> None:
    split = make_split(20)
    batches = batches_of(split, 20, "none+mixup", None)
    (pixels, targets), *_ = batches.epoch(0)
    assert isinstance(targets, MixedLabels)
    (own, labels), *_ = batches_of(split, 20, "none", None).epoch(0)
    assert torch.equal(targets.labels, labels)
    weight = targets.share[:, None, None, None]
    partners = (pixels - weight * own) / (1 - weight)
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2).float()
    distance, place = (partners[:, None] - images[None]).abs().amax((2, 3, 4)).min(1)
    is_clear = targets.share < 0.9  # division by a small share blows rounding up
    assert (distance[is_clear] < 0.01).all()
    found = torch.from_numpy(split.labels)[place]
    assert torch.equal(found[is_clear], targets.partners[is_clear])
    assert 5 < len(set(place.tolist())) < 20, "partners are drawn, with replacement"


def test_partners_follow_the_rebalanced_classes(make_split: MakeSplit) -> None:
    split = make_split(20)
    split.labels[:] = [0] * 18 + [1, 2]
    (_, targets), *_ = batches_of(split, 300, "mixup", (100, 100, 100)).epoch(0)
    assert isinstance(targets, MixedLabels)
    assert np.bincount(targets.partners).min() > 70
