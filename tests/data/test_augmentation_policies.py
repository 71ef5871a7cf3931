"""What every registered augmentation policy has to keep, and what each one does."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from tenfold.core.errors import UnknownNameError
from tenfold.core.randomness import sample_uniforms
from tenfold.data.augmentation import (
    POLICIES,
    AugmentationPolicy,
    PicturePolicy,
    augmentation_named,
)
from tenfold.data.augmentation_policies import (
    CropFlipPolicy,
    LargeResizedCropPolicy,
    NonePolicy,
    RandomResizedCropPolicy,
    ReportPolicy,
    affine_matrices,
    warp,
)

SHAPES = [(8, 8, 1), (8, 8, 3), (32, 32, 1), (32, 32, 3), (6, 11, 3), (12, 5, 1), (1, 1, 3)]


@pytest.fixture(params=POLICIES.names())
def policy(request: pytest.FixtureRequest) -> AugmentationPolicy:
    return POLICIES[request.param]


@pytest.fixture(params=SHAPES, ids=str)
def images(request: pytest.FixtureRequest) -> Tensor:
    return random_images(9, request.param)


def random_images(count: int, shape: tuple[int, int, int]) -> Tensor:
    """Give noise, uint8, shape (count, C, H, W), channels last in memory."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
    return rows.permute(0, 3, 1, 2)


def uniforms_for(policy: AugmentationPolicy, count: int, *, epoch: int = 0) -> Tensor:
    """Give the numbers of the samples 0 to count - 1."""
    indices = torch.arange(count).numpy()
    return torch.from_numpy(sample_uniforms(0, epoch, indices, policy.uniforms_per_sample)).float()


def test_the_issue_s_policies_are_there() -> None:
    assert {"none", "crop-flip", "report"} <= set(POLICIES.names())


def test_an_unknown_policy_suggests_the_near_one() -> None:
    with pytest.raises(UnknownNameError, match=r"no augmentation policy.*Did you mean 'crop-flip'"):
        POLICIES["crop_flip"]


def test_the_description_is_one_sentence_and_says_whether_it_flips(
    policy: AugmentationPolicy,
) -> None:
    for mirror_keeps_class in (True, False):
        sentence = policy.describe(mirror_keeps_class)
        assert sentence.endswith(".")
        assert ". " not in sentence
    if policy is not POLICIES["none"]:
        assert "flipped horizontally" in policy.describe(True)
        assert "never flipped" in policy.describe(False)


def test_shape_type_range_and_memory_order_are_kept(
    policy: AugmentationPolicy, images: Tensor
) -> None:
    result = policy(images, uniforms_for(policy, len(images)), mirror_keeps_class=True)
    assert result.shape == images.shape
    assert result.dtype in (torch.uint8, torch.float32)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert result.min() >= 0
    assert result.max() <= 255


def test_the_input_is_not_changed(policy: AugmentationPolicy, images: Tensor) -> None:
    uniforms = uniforms_for(policy, len(images))
    images_before, uniforms_before = images.clone(), uniforms.clone()
    result = policy(images, uniforms, mirror_keeps_class=True)
    assert torch.equal(images, images_before)
    assert torch.equal(uniforms, uniforms_before)
    assert result.shape == images.shape


def test_an_image_does_not_depend_on_its_batch(policy: AugmentationPolicy, images: Tensor) -> None:
    uniforms = uniforms_for(policy, len(images))
    whole = policy(images, uniforms, mirror_keeps_class=True)
    for index in range(len(images)):
        one = slice(index, index + 1)
        alone = policy(images[one], uniforms[one], mirror_keeps_class=True)
        assert torch.equal(alone, whole[one])
    order = torch.tensor([8, 3, 0, 1, 7, 2])
    shuffled = images.permute(0, 2, 3, 1)[order].permute(0, 3, 1, 2)
    assert torch.equal(policy(shuffled, uniforms[order], mirror_keeps_class=True), whole[order])


def test_extreme_numbers_are_in_range(policy: AugmentationPolicy) -> None:
    images = random_images(2, (8, 8, 3))
    largest = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))
    uniforms = torch.stack(
        (torch.zeros(policy.uniforms_per_sample), largest.expand(policy.uniforms_per_sample))
    )
    result = policy(images, uniforms, mirror_keeps_class=True)
    assert result.shape == images.shape


def test_an_image_of_one_colour_stays_as_it_is(policy: AugmentationPolicy) -> None:
    images = torch.full((50, 16, 16, 3), 255, dtype=torch.uint8).permute(0, 3, 1, 2)
    result = policy(images, uniforms_for(policy, 50), mirror_keeps_class=True)
    torch.testing.assert_close(result.float(), images.float(), rtol=0, atol=1e-3)


def right_edge(count: int) -> Tensor:
    """Give images whose right fifth is white, and that are brighter to the right all along."""
    images = torch.arange(20, dtype=torch.uint8)[:, None].repeat(count, 20, 1, 3)
    images[:, :, 16:] = 255
    return images.permute(0, 3, 1, 2)


def share_of_mirrored(policy: AugmentationPolicy, *, mirror_keeps_class: bool) -> float:
    """Say which share of 400 images is brighter on the left."""
    images = right_edge(400)
    result = policy(images, uniforms_for(policy, 400), mirror_keeps_class=mirror_keeps_class)
    brightness = result.float().mean((1, 2))  # (400, W)
    is_mirrored = brightness[:, :10].sum(1) > brightness[:, 10:].sum(1)
    return float(is_mirrored.float().mean())


def test_half_of_the_images_are_mirrored(policy: AugmentationPolicy) -> None:
    share = share_of_mirrored(policy, mirror_keeps_class=True)
    # Four standard errors of a half of 400.
    assert share == 0 if policy is POLICIES["none"] else abs(share - 0.5) < 0.1


def test_nothing_is_mirrored_where_that_changes_the_class(policy: AugmentationPolicy) -> None:
    assert share_of_mirrored(policy, mirror_keeps_class=False) == 0


def test_epochs_show_an_image_differently(policy: AugmentationPolicy) -> None:
    if policy.uniforms_per_sample == 0:
        pytest.skip("not random")
    images = random_images(20, (16, 16, 3))
    first, second = (
        policy(images, uniforms_for(policy, 20, epoch=epoch), mirror_keeps_class=True)
        for epoch in (0, 1)
    )
    same = (first == second).flatten(1).all(1)
    assert same.float().mean() < 0.3


def test_the_images_themselves_come_back() -> None:
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    assert NonePolicy()(images, torch.empty(2, 0), mirror_keeps_class=True) is images


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
def test_crop_flip_is_pad_crop_and_flip(
    shape: tuple[int, int, int], padding_px: tuple[int, int]
) -> None:
    height, width, _ = shape
    rows = np.random.default_rng(0).integers(0, 256, (60, *shape), dtype=np.uint8)
    uniforms = np.random.default_rng(1).random((60, 3))
    result = CropFlipPolicy()(
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


def test_crop_flip_keeps_bytes() -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    assert CropFlipPolicy()(images, torch.zeros(1, 3), mirror_keeps_class=True).dtype == torch.uint8


def test_every_shift_of_crop_flip_is_as_likely_as_any_other() -> None:
    column = torch.arange(32, dtype=torch.uint8).expand(5_000, 1, 32, 32)
    images = column.contiguous(memory_format=torch.channels_last)
    uniforms = torch.rand(5_000, 3, generator=torch.Generator().manual_seed(0))
    shifted = CropFlipPolicy()(images, uniforms, mirror_keeps_class=False)[:, 0, 16, 16]
    counts = torch.bincount(shifted.long(), minlength=32)
    assert counts[14:19].sum() == 5_000
    assert counts[14:19].min() > 850  # 1,000 expected, standard deviation 28


def test_crop_flip_repeats_an_image_of_one_pixel() -> None:
    images = torch.full((4, 3, 1, 1), 9, dtype=torch.uint8)
    uniforms = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(CropFlipPolicy()(images, uniforms, mirror_keeps_class=True), images)


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
def test_report_is_the_generator_s_transform(size: int, channels: int) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (40, size, size, channels), dtype=np.uint8)
    draws = sample_uniforms(0, 0, np.arange(40), 7)
    result = ReportPolicy()(
        torch.from_numpy(rows).permute(0, 3, 1, 2), torch.from_numpy(draws), mirror_keeps_class=True
    )
    for image, own, one in zip(rows, draws, result.permute(0, 2, 3, 1), strict=True):
        np.testing.assert_allclose(one.numpy(), generator_s_image(image, own), atol=0.02)


def test_the_defaults_are_the_report_s() -> None:
    assert dataclasses.asdict(ReportPolicy()) == {
        "uniforms_per_sample": 7,
        "rotation_degrees": 20.0,
        "width_shift": 0.2,
        "height_shift": 0.2,
        "shear_degrees": 0.15,
        "zoom": 0.2,
        "flip_probability": 0.5,
        "alternating_draws": (),
    }
    assert ReportPolicy().describe(True) == (
        "Each image is rotated by up to ±20°, shifted by up to ±20% of its width and ±20% of its "
        "height, sheared by up to ±0.15°, zoomed by 0.8 to 1.2 separately for each axis (bilinear, "
        "nearest pixel outside), and flipped horizontally with probability 0.5."
    )


def test_shifts_are_shares_of_their_own_side() -> None:
    draws = torch.full((1, 7), 0.5, dtype=torch.float64)
    draws[0, 1], draws[0, 2] = 1.0, 0.0
    matrix = ReportPolicy().matrices(draws, height=10, width=40)[0]
    torch.testing.assert_close(
        matrix, torch.tensor([[1.0, 0.0, -8.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    )


def test_the_middle_of_all_ranges_changes_nothing() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    images = torch.from_numpy(rows).permute(0, 3, 1, 2)
    result = ReportPolicy()(images, torch.full((3, 7), 0.5), mirror_keeps_class=True)
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


# float32 places are good to about 1e-5 of a pixel; neighbours differ by up to 255.
TOLERANCE = 0.02


def scipy_warp(
    image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Transform one image (H, W, C) by a matrix (2, 3) in (x, y) about the centre."""
    linear = matrix[::-1, :2][:, ::-1]  # in (row, column)
    shift = matrix[::-1, 2]
    centre = (np.array(image.shape[:2]) - 1) / 2
    channels = [
        ndimage.affine_transform(
            channel.astype(np.float64),
            linear,
            offset=shift + centre - linear @ centre,
            order=1,
            mode="nearest",
        )
        for channel in np.moveaxis(image, 2, 0)
    ]
    return np.stack(channels, axis=2)


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (7, 12, 3), (20, 5, 2)])
def test_warp_equals_scipy_on_random_matrices(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (40, *shape), dtype=np.uint8)
    matrices = np.concatenate((rng.normal(0, 1, (40, 2, 2)), rng.normal(0, 4, (40, 2, 1))), axis=2)
    warped = warp(torch.from_numpy(rows).permute(0, 3, 1, 2), torch.from_numpy(matrices))
    for image, matrix, result in zip(rows, matrices, warped.permute(0, 2, 3, 1), strict=True):
        np.testing.assert_allclose(result.numpy(), scipy_warp(image, matrix), atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (7, 12, 3), (1, 1, 1), (1, 6, 3)])
def test_the_identity_changes_nothing(shape: tuple[int, int, int]) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    images = torch.from_numpy(rows).permute(0, 3, 1, 2)
    warped = warp(images, torch.eye(2, 3, dtype=torch.float64).expand(5, 2, 3))
    torch.testing.assert_close(warped, images.float(), rtol=0, atol=1e-3)
    assert torch.equal(warped.round().to(torch.uint8), images)


def test_a_whole_pixel_shift_moves_pixels_and_repeats_the_border() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 1), dtype=np.uint8)
    matrix = torch.tensor([[[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]])
    warped = warp(torch.from_numpy(rows).permute(0, 3, 1, 2), matrix)[0, 0]
    expected = np.pad(rows[0, :, :, 0], ((1, 0), (0, 2)), mode="edge")[:6, 2:]
    np.testing.assert_allclose(warped.numpy(), expected, atol=1e-3)


def test_affine_matrices_are_the_product_of_their_parts() -> None:
    rng = np.random.default_rng(0)
    values = {
        "rotation": rng.uniform(-3, 3, 30),
        "shift_x": rng.uniform(-9, 9, 30),
        "shift_y": rng.uniform(-9, 9, 30),
        "shear": rng.uniform(-1, 1, 30),
        "zoom_x": rng.uniform(0.5, 2, 30),
        "zoom_y": rng.uniform(0.5, 2, 30),
    }
    matrices = affine_matrices(**{name: torch.from_numpy(value) for name, value in values.items()})
    for index, matrix in enumerate(matrices):
        t, x, y, s, zx, zy = (value[index] for value in values.values())
        rotation = [[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]]
        shift = [[1, 0, x], [0, 1, y], [0, 0, 1]]
        shear = [[1, -np.sin(s), 0], [0, np.cos(s), 0], [0, 0, 1]]
        zoom = np.diag([zx, zy, 1.0])
        product = np.linalg.multi_dot([np.array(rotation), np.array(shift), np.array(shear), zoom])
        np.testing.assert_allclose(matrix.numpy(), product[:2], atol=1e-12)


@given(
    numbers=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 4),
    full=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    size=st.sampled_from([(160, 160), (60, 80)]),
)
def test_a_part_lies_in_the_picture_and_is_neither_too_long_nor_too_small(
    numbers: tuple[float, ...], full: tuple[int, int], size: tuple[int, int]
) -> None:
    policy = RandomResizedCropPolicy()
    top, left, height, width = policy.box(numbers, full, size)
    assert 0 <= top < top + height <= full[0]
    assert 0 <= left < left + width <= full[1]
    ratio = width / height / (size[1] / size[0])
    rounding = 1 + 1.0 / min(height, width)
    assert 1 / policy.aspect / rounding <= ratio <= policy.aspect * rounding
    if max(full) <= 1.5 * min(full) and size == (160, 160):
        drawn = full[0] * full[1] * (0.08 + 0.92 * numbers[0])
        assert height * width >= 0.5 * drawn - max(full)


def test_parts_of_whole_pictures_keep_their_aspect_and_have_all_pixels() -> None:
    """A wide picture of stripes a pixel wide, which a small square of it could not show."""
    stripes = torch.zeros(40, 120, 3, dtype=torch.uint8)
    stripes[:, ::2] = 255
    policy = RandomResizedCropPolicy(least_area=0.05)
    uniforms = uniforms_for(policy, 50)
    uniforms[:, 0] = 0  # 240 px of 4,800: 15.5 × 15.5 and the like
    shown = policy.cut([stripes] * 50, uniforms, size=(20, 20), mirror_keeps_class=False)
    assert shown.shape == (50, 3, 20, 20)
    assert (shown.float().std((1, 2, 3)) > 60).all()


def test_a_small_part_is_a_part_of_the_picture_s_own_place() -> None:
    ramp = torch.arange(100, dtype=torch.uint8).expand(50, 100)[..., None]  # brighter to the right
    policy = LargeResizedCropPolicy()
    uniforms = torch.tensor([[0.0, 0.5, 0.5, 0.999, 0.9], [0.0, 0.5, 0.5, 0.0, 0.9]])
    right, left = policy.cut([ramp] * 2, uniforms, size=(8, 8), mirror_keeps_class=True)
    assert right.min() > left.max()
    assert right[0, 0, 0] < right[0, 0, -1]
    uniforms[:, 4] = 0.1
    mirrored, _ = policy.cut([ramp] * 2, uniforms, size=(8, 8), mirror_keeps_class=True)
    assert torch.equal(mirrored, right.flip(2))


def test_a_composition_cuts_as_its_policy_does() -> None:
    policy = augmentation_named("large-resized-crop+cutout").policy
    assert isinstance(policy, PicturePolicy)
    pictures = [random_images(1, (9 + one, 14, 3))[0].permute(1, 2, 0) for one in range(5)]
    uniforms = uniforms_for(policy, 5)
    shown = policy.cut(pictures, uniforms, size=(6, 6), mirror_keeps_class=True)
    alone = POLICIES["large-resized-crop"]
    assert isinstance(alone, PicturePolicy)
    plain = alone.cut(pictures, uniforms[:, :5], size=(6, 6), mirror_keeps_class=True)
    assert shown.shape == plain.shape
    assert 0.4 < (shown == plain).float().mean() < 1
