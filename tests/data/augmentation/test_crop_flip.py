"""Crop-flip against NumPy's own padding and slicing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenfold.data.augmentation.crop_flip import POLICY


@pytest.mark.parametrize(
    ("shape", "padding_px"),
    [
        ((32, 32, 3), (2, 2)),
        ((32, 32, 1), (2, 2)),
        ((8, 8, 1), (1, 1)),
        ((5, 60, 2), (1, 4)),
        ((2, 3, 3), (1, 1)),
    ],
)
def test_it_is_pad_crop_and_flip(shape: tuple[int, int, int], padding_px: tuple[int, int]) -> None:
    height, width, _ = shape
    rows = np.random.default_rng(0).integers(0, 256, (60, *shape), dtype=np.uint8)
    uniforms = np.random.default_rng(1).random((60, 3))
    result = POLICY(
        torch.from_numpy(rows).permute(0, 3, 1, 2),
        torch.from_numpy(uniforms),
        mirror_keeps_class=True,
    ).permute(0, 2, 3, 1)

    vertical, horizontal = padding_px
    sides = ((0, 0), (vertical, vertical), (horizontal, horizontal), (0, 0))
    padded = np.pad(rows, sides, mode="reflect")
    for index, (down, right, flip) in enumerate(uniforms):
        top, left = int(down * (2 * vertical + 1)), int(right * (2 * horizontal + 1))
        expected = padded[index, top : top + height, left : left + width]
        if flip < 0.5:
            expected = expected[:, ::-1]
        np.testing.assert_array_equal(result[index].numpy(), expected)


def test_bytes_stay_bytes() -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    assert POLICY(images, torch.zeros(1, 3), mirror_keeps_class=True).dtype == torch.uint8


def test_every_shift_is_as_likely_as_any_other() -> None:
    column = torch.arange(32, dtype=torch.uint8).expand(5_000, 1, 32, 32)
    images = column.contiguous(memory_format=torch.channels_last)
    uniforms = torch.rand(5_000, 3, generator=torch.Generator().manual_seed(0))
    shifted = POLICY(images, uniforms, mirror_keeps_class=False)[:, 0, 16, 16]
    counts = torch.bincount(shifted.long(), minlength=32)
    assert counts[14:19].sum() == 5_000
    assert counts[14:19].min() > 850  # 1,000 expected, standard deviation 28


def test_an_image_of_one_pixel_repeats_it() -> None:
    images = torch.full((4, 3, 1, 1), 9, dtype=torch.uint8)
    uniforms = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(POLICY(images, uniforms, mirror_keeps_class=True), images)
