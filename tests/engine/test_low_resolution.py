"""Sizes that images are scaled down to while a training is young."""

from __future__ import annotations

import pytest
import torch

from tenfold.training.batches import LEAST_SIZE_PX, images_gained, scaled_down, size_px


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
