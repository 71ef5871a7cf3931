"""Views of an image, and the mean of what a network says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tenfold.models.model import ImageNetwork, NetworkBody
from tenfold.training.device import choose_device
from tenfold.training.inference import ViewSet, predict_logits, predict_logits_of_views, views


class _Corner(NetworkBody):
    """Says what the upper left pixel is."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :2, 0, 0]


@pytest.fixture
def network() -> ImageNetwork:
    return ImageNetwork(_Corner(), torch.zeros(3), torch.ones(3))


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("chosen", "mirrors", "count"),
    [
        ("none", True, 1),
        ("mirror", True, 2),
        ("mirror", False, 1),
        ("mirror-shift", True, 6),
        ("mirror-shift", False, 3),
    ],
)
def test_weights_sum_to_one_and_views_have_the_images_shape(
    chosen: ViewSet, mirrors: bool, count: int
) -> None:
    found = views(IMAGES, chosen, mirror_keeps_class=mirrors)
    assert len(found) == count
    assert sum(weight for weight, _ in found) == pytest.approx(1)
    assert all(view.shape == IMAGES.shape for _, view in found)
    np.testing.assert_array_equal(found[0][1], IMAGES)


def test_moved_views_are_the_images_moved_along_the_diagonal() -> None:
    (_, _), (_, down), (_, up) = views(IMAGES, "mirror-shift", mirror_keeps_class=False)
    np.testing.assert_array_equal(down[:, 1:, 1:], IMAGES[:, :-1, :-1])
    np.testing.assert_array_equal(up[:, :-1, :-1], IMAGES[:, 1:, 1:])


def test_logits_are_the_mean_over_the_views(network: ImageNetwork) -> None:
    device = choose_device("cpu")
    options = {"device": device, "precision": torch.float32}
    ours = predict_logits_of_views(network, IMAGES, "mirror", mirror_keeps_class=True, **options)
    left, right = IMAGES[:, 0, 0, :2].astype(float), IMAGES[:, 0, -1, :2].astype(float)
    np.testing.assert_allclose(ours, (left + right) / 2, rtol=1e-5)
    plain = predict_logits_of_views(network, IMAGES, "none", mirror_keeps_class=True, **options)
    np.testing.assert_array_equal(plain, predict_logits(network, IMAGES, **options))


def test_images_of_one_pixel_are_not_moved() -> None:
    one = IMAGES[:, :1, :1]
    assert all(
        view.shape == one.shape for _, view in views(one, "mirror-shift", mirror_keeps_class=True)
    )
