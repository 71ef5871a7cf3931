from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tenfold.data.image_pairs import ImagePairs
from tenfold.data.near_duplicates import LEAST_AGREEMENT
from tenfold.data.pixel_agreement import (
    Detail,
    joined_thumbnails,
    make_thumbnails,
    pixel_agreement,
)

Pixels = npt.NDArray[np.uint8]
Make = Callable[..., Pixels]
COUNT = 40


def pairs(*rows: tuple[int, int], is_mirrored: bool = False) -> ImagePairs:
    one, other = np.array(rows, np.int64).reshape(-1, 2).T
    return ImagePairs.of(one, other, is_mirrored=is_mirrored)


def test_a_pair_is_the_same_either_way_and_not_of_one_image() -> None:
    found = pairs((3, 1), (1, 3), (2, 2))
    assert (found.first.tolist(), found.second.tolist()) == ([1, 1], [3, 3])
    assert len(ImagePairs.joined(found, pairs())) == 1


def test_mirrored_is_another_pair_until_the_best_is_kept() -> None:
    plain = pairs((0, 1), (2, 3)).with_agreement(np.array([0.5, 0.9], np.float32))
    mirrored = pairs((0, 1), (2, 3), is_mirrored=True)
    mirrored = mirrored.with_agreement(np.array([0.7, 0.8], np.float32))
    joined = ImagePairs.joined(plain, mirrored)
    assert len(joined) == 4
    best = joined.best_of_each()
    assert best.is_mirrored.tolist() == [True, False]
    assert len(joined.without(plain)) == 2


def test_exact_wins_over_measured() -> None:
    measured = pairs((0, 1)).with_agreement(np.ones(1, np.float32))
    joined = ImagePairs.joined(measured, pairs((0, 1)).as_exact())
    assert joined.is_exact.tolist() == [True]


def agreement(
    first: Pixels, second: Pixels, *, is_mirrored: bool = False
) -> npt.NDArray[np.float32]:
    thumbnails = joined_thumbnails(make_thumbnails(first), make_thumbnails(second))
    place = np.arange(len(first))
    pairs = ImagePairs.of(place, place + len(first), is_mirrored=is_mirrored)
    return pixel_agreement(thumbnails, pairs, Detail((first, second)))


def test_equal_images_agree_wholly(scenes: Make, cropped: Make) -> None:
    images = cropped(scenes(4), 2, 2)
    assert agreement(images, images) == pytest.approx(np.ones(4), abs=1e-3)


def test_another_crop_brightness_and_contrast_still_agree(
    scenes: Make, cropped: Make, edited: Make
) -> None:
    images = scenes(COUNT)
    first, second = cropped(images, 2, 2), edited(cropped(images, 1, 4, 34))
    assert (agreement(first, second) >= LEAST_AGREEMENT).mean() >= 0.9
    mirrored = agreement(first, second[:, :, ::-1], is_mirrored=True)
    assert (mirrored >= LEAST_AGREEMENT).mean() >= 0.9
    assert (agreement(first, second[:, :, ::-1]) < LEAST_AGREEMENT).mean() >= 0.9


def test_gray_and_coloured_copies_agree(scenes: Make, cropped: Make) -> None:
    first = cropped(scenes(5), 2, 2)
    gray = first @ np.array([0.299, 0.587, 0.114])
    second = np.repeat(gray[..., None], 3, axis=3).round().astype(np.uint8)
    assert agreement(first, second).min() > 0.98


def test_other_images_do_not_agree(scenes: Make, cropped: Make) -> None:
    first, second = cropped(scenes(COUNT), 2, 2), cropped(scenes(COUNT, 7), 2, 2)
    assert agreement(first, second).max() < LEAST_AGREEMENT


def test_constant_images_agree_with_nothing() -> None:
    flat = np.full((2, 32, 32, 1), 90, np.uint8)
    assert agreement(flat, flat).tolist() == [0, 0]


def shirts(seeds: tuple[int, int], side: int = 128, count: int = 6) -> tuple[Pixels, Pixels]:
    """Give pairs of one layout, a dark shape before white, each with a fine pattern of its own."""
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    shape = (np.abs(columns) < 0.2 + 0.1 * (rows < -0.2)) & (np.abs(rows) < 0.4)
    parts = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        pattern = rng.normal(0, 12, (count, side // 4, side // 4, 1)).repeat(4, 1).repeat(4, 2)
        pixels = np.where(shape[..., None], 90 + pattern, 235 + pattern / 4)
        parts.append(np.repeat(pixels, 3, axis=3).clip(0, 255).astype(np.uint8))
    return parts[0], parts[1]


def test_the_same_layout_with_other_detail_does_not_agree() -> None:
    first, second = shirts((1, 2))
    assert agreement(first, second).max() < LEAST_AGREEMENT
    brighter = (first * 0.8 + 20).astype(np.uint8)
    assert agreement(first, brighter).min() > LEAST_AGREEMENT


def test_a_caption_and_a_turn_still_agree(scenes: Make) -> None:
    images = scenes(COUNT, side=128)
    second = np.stack(
        [np.asarray(Image.fromarray(image).rotate(3, Image.Resampling.BICUBIC)) for image in images]
    )
    second[:, -12:] = 255
    assert (agreement(images, second) >= LEAST_AGREEMENT).mean() >= 0.9


def test_detail_is_read_as_large_as_the_pictures_are(scenes: Make) -> None:
    assert Detail((scenes(2, side=128),)).sides_px == (64, 128)
    assert Detail((scenes(2, side=100), scenes(2, side=128))).sides_px == (64,)
    assert Detail((scenes(2, side=32),)).sides_px == ()
    parts = Detail((scenes(3, side=64), scenes(3, 7, side=64)))
    both = parts.luminance(np.array([4, 0]), 64)
    alone = Detail((scenes(3, 7, side=64),)).luminance(np.array([1]), 64)
    assert (both[0] == alone[0]).all()
