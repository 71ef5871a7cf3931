"""Images on the page."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.report.figures.images import shown_at


def test_an_image_has_the_pixels_that_are_shown_and_no_more() -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    small = shown_at(image, 40)
    assert small.shape == (60, 80, 3)
    halves = image.reshape(60, 2, 80, 2, 3).mean((1, 3))
    assert np.abs(small - halves).max() <= 1
    assert shown_at(image, 80) is image


@pytest.mark.parametrize("channels", [1, 3])
def test_any_channels_and_any_shape(channels: int) -> None:
    image = np.full((3, 400, channels), 9, np.uint8)
    small = shown_at(image, 10)
    assert small.shape == (1, 20, channels)
    assert (small == 9).all()
