"""Batches: every image once, in an order and augmentation that no batch size changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tenfold.data.augmentation import POLICIES, AugmentationPolicy
from tenfold.data.dataset import ImageSplit
from tenfold.models.model import as_pixels
from tenfold.training import batches as batches_module
from tenfold.training.batches import TrainingBatches, epoch_order

MakeSplit = Callable[..., ImageSplit]
CPU = torch.device("cpu")


def batches_of(
    split: ImageSplit, batch_size: int, policy: AugmentationPolicy, *, seed: int = 3
) -> TrainingBatches:
    return TrainingBatches(split, batch_size, policy, True, seed, CPU)


def joined(batches: TrainingBatches, epoch: int) -> tuple[Tensor, Tensor]:
    pixels, labels = zip(*batches.epoch(epoch), strict=True)
    return torch.cat(pixels), torch.cat(labels)


@given(
    count=st.integers(1, 200),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 10_000),
)
def test_an_order_visits_every_image_once(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed=seed, epoch=epoch)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(count))
    np.testing.assert_array_equal(order, epoch_order(count, seed=seed, epoch=epoch))


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = [
        epoch_order(50, seed=seed, epoch=epoch).tolist() for seed in (0, 1) for epoch in (0, 1)
    ]
    assert len({tuple(order) for order in orders}) == 4


def test_the_last_batch_may_be_smaller(make_split: MakeSplit) -> None:
    batches = batches_of(make_split(20), 8, POLICIES["none"])
    assert batches.steps_per_epoch == 3
    assert [len(labels) for _, labels in batches.epoch(0)] == [8, 8, 4]
    assert batches_of(make_split(16), 8, POLICIES["none"]).steps_per_epoch == 2
    assert batches_of(make_split(3), 8, POLICIES["none"]).steps_per_epoch == 1


def test_an_epoch_holds_every_image_with_its_label(make_split: MakeSplit) -> None:
    split = make_split(20)
    pixels, labels = joined(batches_of(split, 6, POLICIES["none"]), epoch=2)
    order = epoch_order(20, seed=3, epoch=2)
    np.testing.assert_array_equal(pixels.permute(0, 2, 3, 1).numpy(), split.images[order])
    np.testing.assert_array_equal(labels.numpy(), split.labels[order])
    assert pixels.dtype == torch.uint8


@pytest.mark.parametrize("policy", POLICIES.names())
@pytest.mark.parametrize("batch_size", [1, 7, 20, 64])
def test_an_epoch_does_not_depend_on_the_batch_size(
    policy: str, batch_size: int, make_split: MakeSplit
) -> None:
    split = make_split(20)
    expected = joined(batches_of(split, 8, POLICIES[policy]), epoch=1)
    ours = joined(batches_of(split, batch_size, POLICIES[policy]), epoch=1)
    torch.testing.assert_close(
        ours, expected, rtol=0, atol=0 if ours[0].dtype == torch.uint8 else 1e-3
    )


@pytest.mark.parametrize("policy", POLICIES.names())
@pytest.mark.parametrize("first_step", [0, 1, 2, 3])
def test_an_epoch_goes_on_from_any_step(
    policy: str, first_step: int, make_split: MakeSplit
) -> None:
    batches = batches_of(make_split(20), 8, POLICIES[policy])
    whole = list(batches.epoch(4))
    rest = list(batches.epoch(4, first_step=first_step))
    assert len(rest) == 3 - first_step
    for (pixels, labels), (expected_pixels, expected_labels) in zip(
        rest, whole[first_step:], strict=True
    ):
        assert torch.equal(pixels, expected_pixels)
        assert torch.equal(labels, expected_labels)


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "none"])
def test_augmentation_differs_between_epochs_and_seeds(policy: str, make_split: MakeSplit) -> None:
    split = make_split(12)
    seen = set()
    for seed, epoch in [(0, 0), (0, 1), (1, 0)]:
        pixels, _ = joined(batches_of(split, 12, POLICIES[policy], seed=seed), epoch)
        first = epoch_order(12, seed=seed, epoch=epoch).tolist().index(0)
        seen.add(tuple(pixels[first].flatten().tolist()))
    assert len(seen) > 1


@pytest.mark.parametrize("policy", POLICIES.names())
def test_images_are_not_changed(policy: str, make_split: MakeSplit) -> None:
    split = make_split(12)
    before = split.images.copy()
    joined(batches_of(split, 5, POLICIES[policy]), epoch=0)
    np.testing.assert_array_equal(split.images, before)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", POLICIES.names())
def test_batches_are_channels_last(policy: str, channels: int, make_split: MakeSplit) -> None:
    split = make_split(9, channels=channels)
    for pixels, _ in batches_of(split, 4, POLICIES[policy]).epoch(0):
        assert pixels.shape[1:] == (channels, 10, 10)
        assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_pixels_are_the_images_themselves_not_a_copy(make_split: MakeSplit) -> None:
    images = make_split(4).images
    pixels = as_pixels(images, CPU)
    assert pixels.shape == (4, 3, 10, 10)
    assert pixels.data_ptr() == images.ctypes.data


def test_pixels_of_views_that_torch_does_not_take(make_split: MakeSplit) -> None:
    images = make_split(4).images
    images.setflags(write=False)
    np.testing.assert_array_equal(as_pixels(images, CPU).permute(0, 2, 3, 1), images)
    mirrored = images[:, :, ::-1]
    np.testing.assert_array_equal(as_pixels(mirrored, CPU).permute(0, 2, 3, 1), mirrored)


@dataclass
class _Recorder:
    """A policy that keeps the random numbers it was given."""

    name: str = "recorder"
    uniforms_per_sample: int = 2
    alternating_draws: tuple[int, ...] = ()
    highest: float = 0.0

    def describe(self, mirror_keeps_class: bool) -> str:
        return ""

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        assert uniforms.dtype == torch.float32
        self.highest = max(self.highest, uniforms.max().item())
        return images


def test_random_numbers_stay_below_one_in_float32(
    make_split: MakeSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = 1 - 2**-53  # the largest that `sample_uniforms` gives; as a float32 it is 1
    monkeypatch.setattr(
        batches_module,
        "sample_uniforms",
        lambda _seed, _epoch, indices, count: np.full((len(indices), count), largest),
    )
    recorder = _Recorder()
    joined(batches_of(make_split(6), 4, recorder), epoch=0)
    assert 0.999 < recorder.highest < 1
