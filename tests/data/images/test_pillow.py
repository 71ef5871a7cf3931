from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import SettingsError
from tenfold.data.images.pillow import resize_images, resize_to_cover


def test_the_centre_is_cut_out_undistorted() -> None:
    # Three squares side by side: only the middle one stays.
    strip = np.zeros((10, 30, 3), dtype=np.uint8)
    strip[:, :10], strip[:, 10:20], strip[:, 20:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    small = np.asarray(resize_to_cover(Image.fromarray(strip), 5, 5))
    assert small.shape == (5, 5, 3)
    assert (small[..., 1] > 225).all()
    assert (small[..., [0, 2]] < 30).all()  # The filter takes a little from beyond the edge.


def test_shrinking_averages_instead_of_picking() -> None:
    checker = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = resize_images(checker[np.newaxis, :, :, np.newaxis], 8)
    assert small.shape == (1, 8, 8, 1)
    assert np.abs(small.astype(int) - 127).max() < 20


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(SettingsError, match="image_size_px is 0; it must be at least 1"):
        resize_images(np.zeros((1, 4, 4, 3), dtype=np.uint8), 0)
