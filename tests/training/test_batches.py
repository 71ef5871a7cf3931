"""Batches of a training, the size that images are shown in, and the loss on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tenfold.core.records.training import RebalancingPlan
from tenfold.data import store
from tenfold.data.augmentation import POLICIES, AugmentationPolicy
from tenfold.data.dataset import ImageSplit
from tenfold.data.rebalancing import REBALANCINGS
from tenfold.data.store import ArrayRows, Pixels, Rows, StoredImages
from tenfold.models.model import as_pixels
from tenfold.training import batches as batches_module
from tenfold.training.batches import (
    LEAST_SIZE_PX,
    MixedLabels,
    TrainingBatches,
    TrainingLoss,
    epoch_order,
    images_gained,
    right_answers,
    scaled_down,
    size_px,
)

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


@pytest.mark.parametrize("kept_bytes", [0, 2**20])
def test_stored_images_give_the_same_batches(
    kept_bytes: int, make_split: MakeSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = make_split(20)
    assert isinstance(split.images, np.ndarray)
    monkeypatch.setattr(store, "MOST_KEPT_BYTES", kept_bytes)
    stored = ImageSplit(StoredImages.of(ArrayRows(split.images)), split.labels)
    expected = joined(batches_of(split, 8, POLICIES["crop-flip"]), 1)
    batches = batches_of(stored, 8, POLICIES["crop-flip"])
    assert batches.are_read == (kept_bytes == 0)
    found = joined(batches, 1)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


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


def test_sizes_grow_to_the_whole_image_and_never_shrink() -> None:
    sizes = [size_px(32, progress=step / 100, share=0.7, scale=0.44) for step in range(101)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 16  # the multiple of 4 next to 14.1, upwards of the half
    assert set(sizes[70:]) == {32}
    assert all(size % 4 == 0 for size in sizes)


@pytest.mark.parametrize(("share", "scale"), [(0.0, 0.5), (0.7, 1.0)])
def test_without_a_share_or_a_scale_nothing_is_scaled(share: float, scale: float) -> None:
    assert {size_px(30, progress=p / 10, share=share, scale=scale) for p in range(11)} == {30}


@pytest.mark.parametrize("side", [1, 5, 8, 9])
def test_small_images_stay_as_they_are_or_above_the_least_size(side: int) -> None:
    size = size_px(side, progress=0, share=1, scale=0.3)
    assert min(side, LEAST_SIZE_PX) <= size <= side


def test_the_gain_is_that_of_summing_the_steps() -> None:
    share, scale, strides = 0.7, 0.5, 100_000
    middles = [(stride + 0.5) / strides for stride in range(strides)]
    # Time goes evenly; images a second go with 1 / size squared.
    sizes = [scale + (1 - scale) * min(1.0, middle / share) for middle in middles]
    summed = sum(1 / size**2 for size in sizes) / strides
    assert images_gained(32, share=share, scale=scale) == pytest.approx(summed, rel=1e-3)


def test_images_that_are_not_scaled_gain_nothing() -> None:
    assert images_gained(LEAST_SIZE_PX, share=0.7, scale=0.45) == pytest.approx(1)
    assert images_gained(32, share=0, scale=0.45) == 1


def test_scaling_down_averages_and_full_size_is_untouched() -> None:
    pixels = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    pixels[:, :, :, 4:] = 200
    assert scaled_down(pixels, (8, 8)) is pixels
    small = scaled_down(pixels, (4, 4))
    assert small.dtype == torch.float32
    assert small.shape == (2, 3, 4, 4)
    torch.testing.assert_close(small.mean(), torch.tensor(100.0), atol=1e-3, rtol=0)
    assert (small[:, :, :, 0] < 5).all()
    assert (small[:, :, :, 3] > 195).all()


LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
PARTNERS = torch.tensor([1, 1, 0, 2, 3, 0])
SHARE = torch.tensor([1.0, 0.5, 0.25, 0.0, 0.9, 0.4])


def loss_of(plan: RebalancingPlan, label_smoothing: float = 0.1) -> TrainingLoss:
    return TrainingLoss.rebalanced(plan, label_smoothing=label_smoothing, device=CPU)


def test_without_a_plan_it_is_torch_s_bit_for_bit() -> None:
    expected = functional.cross_entropy(LOGITS, LABELS, label_smoothing=0.1)
    assert torch.equal(loss_of(RebalancingPlan())(LOGITS, LABELS), expected)


def test_mixed_labels_are_soft_targets() -> None:
    soft = torch.zeros(6, 4)
    rows = torch.arange(6)
    soft[rows, LABELS] += SHARE
    soft[rows, PARTNERS] += 1 - SHARE
    expected = functional.cross_entropy(LOGITS, soft, label_smoothing=0.1)
    ours = loss_of(RebalancingPlan())(LOGITS, MixedLabels(LABELS, PARTNERS, SHARE))
    torch.testing.assert_close(ours, expected)


def test_weights_are_of_the_image_s_class() -> None:
    plan = RebalancingPlan(class_weights=(1.0, 2.0, 0.5, 4.0))
    each = functional.cross_entropy(LOGITS, LABELS, label_smoothing=0.1, reduction="none")
    weights = torch.tensor([1, 2, 0.5, 4, 1, 2])
    torch.testing.assert_close(loss_of(plan)(LOGITS, LABELS), (each * weights).mean())
    whole = MixedLabels(LABELS, PARTNERS, torch.ones(6))
    torch.testing.assert_close(loss_of(plan)(LOGITS, whole), (each * weights).mean())


def test_offsets_are_added_to_the_logits() -> None:
    plan = REBALANCINGS["logit-adjust"].plan((60, 30, 9, 1))
    adjusted = LOGITS + torch.tensor([0.6, 0.3, 0.09, 0.01]).log()
    expected = functional.cross_entropy(adjusted, LABELS)
    torch.testing.assert_close(loss_of(plan, 0.0)(LOGITS, LABELS), expected)


@pytest.mark.parametrize(
    ("truth", "winner"),
    [
        # All that is known of the image is the classes' shares: none may win by its size.
        ((0.6, 0.3, 0.096, 0.004), None),
        # It is of the largest class more often than by chance: that class wins.
        ((0.9, 0.07, 0.029, 0.001), 0),
    ],
)
def test_smoothing_does_not_turn_the_adjusted_classes_over(
    truth: tuple[float, ...], winner: int | None
) -> None:
    loss = loss_of(REBALANCINGS["logit-adjust"].plan((600, 300, 96, 4)), label_smoothing=0.2)
    logits = torch.zeros(1, 4, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100)

    def mean_loss() -> torch.Tensor:
        optimizer.zero_grad()
        each = torch.stack([loss(logits, torch.tensor([label])) for label in range(4)])
        mean = (each * torch.tensor(truth)).sum()
        mean.backward()
        return mean

    optimizer.step(mean_loss)
    found = logits.detach()[0]
    if winner is None:
        assert found.max() - found.min() < 0.01
    else:
        assert found.argmax() == winner


def test_right_answers_of_a_mixture_are_those_of_the_larger_part() -> None:
    mixed = MixedLabels(LABELS, PARTNERS, SHARE)
    assert mixed.dominant.tolist() == [0, 1, 0, 2, 0, 0]
    answers = functional.one_hot(torch.tensor([0, 1, 0, 3, 0, 0]), 4).float()
    assert right_answers(answers, mixed) == 5
    assert right_answers(answers, LABELS) == 4


@pytest.mark.parametrize("name", REBALANCINGS.names())
def test_every_rebalancing_gives_a_finite_loss(name: str) -> None:
    plan = REBALANCINGS[name].plan((1000, 100, 10, 1))
    assert torch.isfinite(loss_of(plan)(LOGITS, LABELS))


class OnePicture:
    """Pictures of which each is a wide ramp, read-only as decoders give them."""

    def __len__(self) -> int:
        return 6

    def encoded(self, rows: Rows) -> Iterator[tuple[bytes, str]]:
        raise NotImplementedError

    def decoded(self, batches: Iterable[Rows], shape: tuple[int, int, int]) -> Iterator[Pixels]:
        raise NotImplementedError

    def whole(self, rows: Rows, channels: int, most_px: int) -> list[Pixels]:
        assert most_px >= 50
        ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 50, axis=0)
        ramp.setflags(write=False)
        return [np.broadcast_to(ramp, (50, 200, channels)) for _ in rows]


def test_a_policy_that_cuts_is_given_whole_pictures() -> None:
    pixels = np.zeros((6, 16, 16, 3), np.uint8)
    split = ImageSplit(StoredImages.of(ArrayRows(pixels), OnePicture()), np.arange(6))
    policy = POLICIES["large-resized-crop"]
    batches = TrainingBatches(split, 4, policy, True, 3, CPU, most_px=12)
    assert batches.are_read
    shown, labels = joined(batches, 0)
    assert shown.shape == (6, 3, 12, 12)
    assert (shown.float().amax((1, 2, 3)) > 30).all()  # not the black square
    again, _ = joined(dataclasses.replace(batches, batch_size=2), 0)
    assert torch.equal(shown, again)
    assert sorted(labels.tolist()) == list(range(6))
    assert not torch.equal(joined(batches, 1)[0], shown)
