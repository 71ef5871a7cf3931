"""Heat over an image."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.report.figures.heat import heat_overlay

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_without_heat_the_image_is_gray(channels: int) -> None:
    image = RNG.integers(0, 256, (4, 5, channels), np.uint8)
    overlay = heat_overlay(image, np.zeros((4, 5)))
    assert overlay.shape == (4, 5, 3)
    assert (overlay == overlay[..., :1]).all()
    if channels == 1:
        assert (overlay == image).all()


def test_the_most_heat_is_the_brightest_and_the_image_still_shows() -> None:
    black, white = np.zeros((1, 3, 3), np.uint8), np.full((1, 3, 3), 255, np.uint8)
    heat = np.array([[0, 0.5, 1]])
    on_black, on_white = (heat_overlay(image, heat).astype(int) for image in (black, white))
    assert on_black.sum(axis=2)[0].tolist() == sorted(on_black.sum(axis=2)[0].tolist())
    assert (on_white - on_black).min() > 40
