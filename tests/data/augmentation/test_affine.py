"""The batched affine transform against SciPy's, image by image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from tenfold.data.augmentation.affine import affine_matrices, warp

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
def test_it_equals_scipy_on_random_matrices(shape: tuple[int, int, int]) -> None:
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


def test_matrices_are_the_product_of_their_parts() -> None:
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
