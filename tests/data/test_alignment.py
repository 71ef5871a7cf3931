from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from tenfold.data.alignment import align, identity


def test_alignment_finds_the_shift(scenes: Callable[..., npt.NDArray[np.uint8]]) -> None:
    images = torch.from_numpy(scenes(10)).float().mean(3) / 255
    blurred = torch.nn.functional.avg_pool2d(images[:, None], 5, 1)[:, 0]  # (10, 36, 36)
    first, second = blurred[:, 2:34, 2:34], blurred[:, 1:33, 4:36]
    found = align(first, second, identity(10), steps=12)
    # A pixel of the first lies one lower and two to the left in the second: 1/16 of half a side.
    expected = torch.tensor([1, 1, -2 / 16, 1 / 16]).expand(10, -1)
    is_found = (found.stretch_and_shift - expected).abs().amax(1) < 0.01
    assert is_found.float().mean() >= 0.8
    assert (found.correlation[is_found] > 0.99).all()
