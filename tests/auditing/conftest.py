"""Images with edges, as photographs have, and what becomes of them in another upload."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def scenes() -> Callable[..., Pixels]:
    """Give a function that draws `count` images of random ellipses, uint8 (N, 40, 40, 3)."""

    def draw(count: int, seed: int = 0, side: int = 40) -> Pixels:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:side, :side] / side
        images = np.empty((count, side, side, 3), np.uint8)
        for image in images:
            image[:] = rng.integers(0, 256, 3)
            for _ in range(12):
                cx, cy = rng.random(2)
                rx, ry = rng.uniform(0.05, 0.4, 2)
                inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
                image[inside] = rng.integers(0, 256, 3)
        return images

    return draw


@pytest.fixture(scope="session")
def cropped() -> Callable[..., Pixels]:
    """Give a function that cuts 32 × 32 pixels out of images at a place, zoomed."""

    def cut(images: Pixels, top: int, left: int, side: int = 36) -> Pixels:
        part = torch.from_numpy(images[:, top : top + side, left : left + side].copy())
        resized = nn.functional.interpolate(
            part.permute(0, 3, 1, 2).float(), (32, 32), mode="bilinear", antialias=True
        )
        return resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()

    return cut


@pytest.fixture(scope="session")
def edited() -> Callable[..., Pixels]:
    """Give a function that changes contrast, brightness and noise."""

    def edit(images: Pixels, seed: int = 1) -> Pixels:
        noise = np.random.default_rng(seed).normal(0, 6, images.shape)
        return (images * 0.7 + 50 + noise).round().clip(0, 255).astype(np.uint8)

    return edit
