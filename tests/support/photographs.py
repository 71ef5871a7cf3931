"""A folder of photographs as people have them: colour, JPEG, of differing sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "owl")
SIZES = ((48, 36), (40, 40), (33, 51))
"""Width and height in pixels, in turns."""


def write_photographs(folder: Path, *, count: int = 12, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write ``folder/CLASS/NUMBER.jpg``, no two the same, classes told apart by their colour.

    Parameters
    ----------
    folder
        Is made.
    count
        Of each class.
    classes
        Their names.
    """
    generator = np.random.default_rng(11)
    for place, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        colour = np.roll((200.0, 110.0, 60.0), place)
        for number in range(1, count + 1):
            width, height = SIZES[number % len(SIZES)]
            light = np.linspace(0.4, 1.1, width)[None, :, None]  # so that left is not right
            noise = generator.normal(0, 25, (height, width, 3))
            pixels = (colour * light + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg", quality=90)
    return folder
