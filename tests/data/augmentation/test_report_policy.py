"""The policy `report` against ImageDataGenerator's meaning, written out on its own here."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from tenfold.data.augmentation.report import POLICY, ReportPolicy
from tenfold.data.sample_randomness import sample_uniforms

STILL = ReportPolicy(
    rotation_degrees=0, width_shift=0, height_shift=0, shear_degrees=0, zoom=0, flip_probability=0
)


def generator_s_image(
    image: npt.NDArray[np.uint8], draws: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Do to one square image what Keras 3's ImageDataGenerator does with these draws."""
    size = image.shape[0]
    spread = 2 * draws - 1
    theta = math.radians(20 * spread[0])
    # Keras swaps the axes of the whole matrix, so its "ty", drawn from the width's range and
    # placed second, moves along rows. On a square both ranges are the same 20%.
    along_x, along_y = 0.2 * size * spread[2], 0.2 * size * spread[1]
    shear = math.radians(0.15 * spread[3])
    zoom_x, zoom_y = 1 + 0.2 * spread[4], 1 + 0.2 * spread[5]
    rotation = [[math.cos(theta), -math.sin(theta), 0], [math.sin(theta), math.cos(theta), 0]]
    matrix = np.array([*rotation, [0, 0, 1]])
    matrix = matrix @ np.array([[1, 0, along_x], [0, 1, along_y], [0, 0, 1]])
    matrix = matrix @ np.array([[1, -math.sin(shear), 0], [0, math.cos(shear), 0], [0, 0, 1]])
    matrix = matrix @ np.diag([zoom_x, zoom_y, 1])
    centre = size / 2 - 0.5
    to_centre = np.array([[1, 0, centre], [0, 1, centre], [0, 0, 1]])
    matrix = to_centre @ matrix @ np.linalg.inv(to_centre)
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    matrix = swap @ matrix @ swap
    channels = [
        ndimage.affine_transform(
            image[:, :, channel].astype(np.float64),
            matrix[:2, :2],
            matrix[:2, 2],
            order=1,
            mode="nearest",
        )
        for channel in range(image.shape[2])
    ]
    result = np.stack(channels, axis=2)
    return result[:, ::-1] if draws[6] < 0.5 else result


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (8, 1)])
def test_it_is_the_generator_s_transform(size: int, channels: int) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (40, size, size, channels), dtype=np.uint8)
    draws = sample_uniforms(0, 0, np.arange(40), 7)
    result = POLICY(
        torch.from_numpy(rows).permute(0, 3, 1, 2), torch.from_numpy(draws), mirror_keeps_class=True
    )
    for image, own, one in zip(rows, draws, result.permute(0, 2, 3, 1), strict=True):
        np.testing.assert_allclose(one.numpy(), generator_s_image(image, own), atol=0.02)


def test_the_defaults_are_the_report_s() -> None:
    assert dataclasses.asdict(POLICY) == {
        "name": "report",
        "uniforms_per_sample": 7,
        "rotation_degrees": 20.0,
        "width_shift": 0.2,
        "height_shift": 0.2,
        "shear_degrees": 0.15,
        "zoom": 0.2,
        "flip_probability": 0.5,
        "alternating_draws": (),
    }
    assert POLICY.describe(True) == (
        "Each image is rotated by up to ±20°, shifted by up to ±20% of its width and ±20% of its "
        "height, sheared by up to ±0.15°, zoomed by 0.8 to 1.2 separately for each axis (bilinear, "
        "nearest pixel outside), and flipped horizontally with probability 0.5."
    )


def test_shifts_are_shares_of_their_own_side() -> None:
    draws = torch.full((1, 7), 0.5, dtype=torch.float64)
    draws[0, 1], draws[0, 2] = 1.0, 0.0
    matrix = POLICY.matrices(draws, height=10, width=40)[0]
    torch.testing.assert_close(
        matrix, torch.tensor([[1.0, 0.0, -8.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    )


def test_the_middle_of_all_ranges_changes_nothing() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    images = torch.from_numpy(rows).permute(0, 3, 1, 2)
    result = POLICY(images, torch.full((3, 7), 0.5), mirror_keeps_class=True)
    torch.testing.assert_close(result, images.float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (6, 11, 3)])
def test_a_flip_alone_is_exactly_a_mirror(shape: tuple[int, int, int]) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    images = torch.from_numpy(rows).permute(0, 3, 1, 2)
    mirror = dataclasses.replace(STILL, flip_probability=1.0)
    uniforms = torch.rand(4, 7, generator=torch.Generator().manual_seed(0))
    result = mirror(images, uniforms, mirror_keeps_class=True)
    assert torch.equal(result.round().to(torch.uint8), images.flip(3))
    still = mirror(images, uniforms, mirror_keeps_class=False)
    assert torch.equal(still.round().to(torch.uint8), images)


def test_rotation_turns_as_the_range_says() -> None:
    quarter = dataclasses.replace(STILL, rotation_degrees=90.0)
    rows = np.random.default_rng(0).integers(0, 256, (1, 9, 9, 1), dtype=np.uint8)
    images = torch.from_numpy(rows).permute(0, 3, 1, 2)
    uniforms = torch.full((1, 7), 0.5, dtype=torch.float64)
    uniforms[0, 0] = 1.0
    turned = quarter(images, uniforms, mirror_keeps_class=False)[0, 0]
    np.testing.assert_allclose(turned.numpy(), np.rot90(rows[0, :, :, 0]), atol=1e-2)
