"""Every disturbance: shape and type kept, stronger with strength, the same for the same place."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.data.corruptions import CORRUPTIONS, Corruption
from tenfold.data.dataset import Images

BY_NAME = {corruption.name: corruption for corruption in CORRUPTIONS}
NAMES = sorted(BY_NAME)


def photographs(count: int = 12, side_px: int = 32, channels: int = 3) -> Images:
    """Give smooth images with some detail."""
    generator = np.random.default_rng(7)
    coarse = generator.integers(20, 236, (count, 8, 8, channels))
    repeat = -(-side_px // 8)
    images = coarse.repeat(repeat, axis=1).repeat(repeat, axis=2)[:, :side_px, :side_px]
    return images.astype(np.uint8)


def applied(corruption: Corruption, images: Images, place: int = -1, seed: int = 0) -> Images:
    """Apply one strength."""
    return corruption.apply(images, np.arange(len(images)), seed, corruption.strengths[place])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side_px", [8, 32, 40])
def test_keeps_shape_type_and_the_original(name: str, channels: int, side_px: int) -> None:
    images = photographs(4, side_px, channels)
    before = images.copy()
    disturbed = applied(BY_NAME[name], images)
    assert (disturbed.shape, disturbed.dtype) == (images.shape, np.uint8)
    assert np.array_equal(images, before)
    assert not np.array_equal(disturbed, images)


@pytest.mark.parametrize("name", NAMES)
def test_strength_grows(name: str) -> None:
    images, corruption = photographs(), BY_NAME[name]
    changes = [
        np.abs(applied(corruption, images, place).astype(int) - images).mean()
        for place in range(len(corruption.strengths))
    ]
    assert changes == sorted(changes)
    assert changes[0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_image_s_disturbance_depends_on_seed_and_place_alone(name: str) -> None:
    images, corruption = photographs(), BY_NAME[name]
    together = applied(corruption, images)
    order = np.array([5, 2, 9])
    alone = corruption.apply(images[order], order, 0, corruption.strengths[-1])
    assert np.array_equal(alone, together[order])
    if name in {"brightness", "noise", "shift"}:
        assert not np.array_equal(applied(corruption, images, seed=1), together)


def test_noise_has_the_deviation_that_it_says() -> None:
    images = np.full((20, 32, 32, 3), 128, np.uint8)
    noise = applied(BY_NAME["noise"], images).astype(float) - 128
    assert noise.std() == pytest.approx(0.1 * 255, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.5)


def test_brightness_goes_both_ways() -> None:
    images = np.full((40, 4, 4, 1), 128, np.uint8)
    levels = set(applied(BY_NAME["brightness"], images, 1).ravel().tolist())
    assert levels == {102, 154}


def test_shift_moves_whole_pixels_in_four_directions() -> None:
    images = np.arange(32, dtype=np.uint8)[None, :, None, None] * 4
    images = np.broadcast_to(images, (40, 32, 32, 1)).copy()
    shifted = applied(BY_NAME["shift"], images, 1)
    moves = {tuple(column.tolist()) for column in shifted[:, :, 16, 0]}
    rows = np.arange(32)
    assert moves == {
        tuple((rows * 4).tolist()),
        tuple(((rows + 2).clip(0, 31) * 4).tolist()),
        tuple(((rows - 2).clip(0, 31) * 4).tolist()),
    }


def test_contrast_keeps_the_mean_colour() -> None:
    images = photographs()
    flat = applied(BY_NAME["contrast"], images)
    assert flat.mean(axis=(1, 2)) == pytest.approx(images.mean(axis=(1, 2)), abs=0.5)
    assert flat.std() < 0.5 * images.std()
