from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tenfold.data.dataset import Images, Labels
from tenfold.data.statistics import PixelStatistics, pixel_statistics


def random_images(shape: tuple[int, ...], *, highest: int = 255) -> Images:
    return np.random.default_rng(0).integers(0, highest, shape, np.uint8, endpoint=True)


def by_brute_force(images: Images, labels: Labels, class_count: int) -> PixelStatistics:
    """Compute the same with float64 copies."""
    scaled = images.astype(np.float64) / 255
    groups = [scaled[labels == label] for label in range(class_count)]
    return PixelStatistics(
        class_counts=tuple(len(group) for group in groups),
        class_means=tuple(float(group.mean()) if group.size else 0.0 for group in groups),
        class_standard_deviations=tuple(
            float(group.std()) if group.size else 0.0 for group in groups
        ),
        channel_means=tuple(scaled.mean(axis=(0, 1, 2)).tolist()),
        channel_standard_deviations=tuple(scaled.std(axis=(0, 1, 2)).tolist()),
    )


@pytest.mark.parametrize(
    "shape",
    [
        (700, 32, 32, 3),  # several blocks, the last one smaller
        (50, 8, 8, 1),
        (9, 5, 13, 4),
        (3, 300, 2, 3),  # columns too high for sums in 16 bits
        (2, 700, 800, 1),  # an image larger than a block
        (40, 1, 1, 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("highest", [255, 3, 0])
def test_it_equals_brute_force(shape: tuple[int, ...], highest: int) -> None:
    images = random_images(shape, highest=highest)
    labels = np.random.default_rng(1).integers(0, 4, shape[0])
    measured, expected = pixel_statistics(images, labels, 5), by_brute_force(images, labels, 5)
    assert measured.class_counts == expected.class_counts
    for name in (
        "class_means",
        "class_standard_deviations",
        "channel_means",
        "channel_standard_deviations",
    ):
        np.testing.assert_allclose(
            getattr(measured, name), getattr(expected, name), rtol=1e-10, atol=1e-12, err_msg=name
        )


@pytest.mark.parametrize("height", [257, 258])
def test_white_images_overflow_nothing(height: int) -> None:
    images = np.full((3, height, 40, 3), 255, np.uint8)
    measured = pixel_statistics(images, np.zeros(3, np.int64), 1)
    assert measured == PixelStatistics((3,), (1.0,), (0.0,), (1.0,) * 3, (0.0,) * 3)


def test_a_class_without_images_has_zeros_and_no_warning() -> None:
    images = random_images((4, 8, 8, 3))
    measured = pixel_statistics(images, np.full(4, 1), 3)
    assert measured.class_counts == (0, 4, 0)
    assert measured.class_means[0] == measured.class_standard_deviations[2] == 0
    assert measured.class_means[1] > 0


def test_no_images_at_all_give_zeros() -> None:
    measured = pixel_statistics(np.empty((0, 8, 8, 3), np.uint8), np.empty(0, np.int64), 2)
    assert measured == PixelStatistics((0, 0), (0.0, 0.0), (0.0, 0.0), (0.0,) * 3, (0.0,) * 3)


def test_images_that_do_not_lie_in_one_piece_are_measured_the_same() -> None:
    images = random_images((60, 9, 10, 3))[::2, 1:, ::3]
    labels = np.arange(30) % 3
    assert pixel_statistics(images, labels, 3) == pixel_statistics(images.copy(), labels, 3)


def test_values_are_plain_numbers() -> None:
    measured = pixel_statistics(random_images((4, 8, 8, 1)), np.array([0, 1, 0, 1]), 2)
    assert type(measured.class_counts[0]) is int
    for values in (measured.class_means, measured.channel_standard_deviations):
        assert type(values[0]) is float


@pytest.mark.cifar10
def test_cifar10_has_its_known_statistics(cifar10_path: Path) -> None:
    files = sorted(cifar10_path.rglob("data_batch_*.bin"))
    if len(files) != 5:
        pytest.skip("TENFOLD_CIFAR10 is not the unpacked binary version")
    records = np.concatenate([np.fromfile(file, np.uint8) for file in files]).reshape(-1, 3073)
    labels = records[:, 0].astype(np.int64)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    measured = pixel_statistics(images, labels, 10)
    assert measured.class_counts == (5_000,) * 10
    np.testing.assert_allclose(measured.channel_means, [0.49140, 0.48216, 0.44653], atol=1e-5)
    np.testing.assert_allclose(
        measured.channel_standard_deviations, [0.24703, 0.24349, 0.26159], atol=1e-5
    )
    assert measured.class_means[0] == pytest.approx(0.5583, abs=1e-4)
    assert measured.class_standard_deviations[0] == pytest.approx(0.2539, abs=1e-4)
