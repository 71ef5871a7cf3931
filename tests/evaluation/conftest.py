"""Drawn shapes whose mirror images are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tenfold.data.dataset import ImageSplit

SIDE_PX = 24
SHAPES = {
    "left": ((1, 0), (0, 0.5), (1, 1)),
    "right": ((0, 0), (1, 0.5), (0, 1)),
    "up": ((0, 1), (0.5, 0), (1, 1)),
    "down": ((0, 0), (0.5, 1), (1, 0)),
    "square": ((0, 0), (1, 0), (1, 1), (0, 1)),
    "diamond": ((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)),
}


def draw_shape(shape: str, generator: np.random.Generator) -> Image.Image:
    """Draw a shape of any colour, size and place on a plain ground, with noise."""
    ground, colour = (
        tuple(generator.integers(*ends, 3).tolist()) for ends in ((0, 90), (150, 256))
    )
    size = generator.uniform(0.4, 0.6) * SIDE_PX
    left, top = generator.uniform(0, SIDE_PX - size, 2)
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), ground)
    points = [(left + size * x, top + size * y) for x, y in SHAPES[shape]]
    ImageDraw.Draw(image).polygon(points, fill=colour)
    noisy = np.asarray(image) + generator.normal(0, 8, (SIDE_PX, SIDE_PX, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def drawn() -> Callable[..., ImageSplit]:
    """Give a function that draws so many images of each shape."""

    def draw(shapes: Sequence[str], count: int, seed: int = 0) -> ImageSplit:
        generator = np.random.default_rng(seed)
        images = [
            np.asarray(draw_shape(shape, generator)) for shape in shapes for _ in range(count)
        ]
        return ImageSplit(np.stack(images), np.repeat(np.arange(len(shapes)), count))

    return draw
