"""The pictures of a study for a browser: whole, at a size to look at or to glance at."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from tenfold.core.errors import TenfoldError
from tenfold.data.store import StoredImages
from tenfold.serving.guard import Refusal
from tenfold.serving.review.study import ReviewedStudy

Size = Literal["small", "large"]
SIZES: tuple[Size, ...] = get_args(Size)
_MOST_PX: dict[Size, int] = {"small": 220, "large": 1000}
"""Of the shorter side."""
_LONGEST_PX: dict[Size, int] = {"small": 660, "large": 2400}
_KEPT_BYTES = 2**26
_JPEG_QUALITY: dict[Size, int] = {"small": 80, "large": 90}
_LOSSLESS_PX = 128
"""Small images are sent as they are, pixel by pixel."""


class Pictures:
    """Pictures encoded for a browser; the latest are remembered. Several threads may ask."""

    def __init__(self, study: ReviewedStudy) -> None:
        self._study = study
        self._kept: OrderedDict[tuple[str, Size], tuple[bytes, str]] = OrderedDict()
        self._kept_bytes = 0
        self._guard = threading.Lock()

    def __call__(self, name: str, size: Size) -> tuple[bytes, str]:
        """Give an image's file and media type.

        Raises
        ------
        Refusal
            If it cannot be read.
        """
        key = (name, size)
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = _encoded(self._pixels(name, size), size)
        with self._guard:
            if key not in self._kept:
                self._kept[key] = made
                self._kept_bytes += len(made[0])
            while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
                _, (content, _) = self._kept.popitem(last=False)
                self._kept_bytes -= len(content)
        return made

    def _pixels(self, name: str, size: Size) -> npt.NDArray[np.uint8]:
        split, index = self._study.place(name)
        images = self._study.splits[split].given.images
        try:
            if isinstance(images, StoredImages) and images.pictures is not None:
                return images.pictures.whole_picture(index, images.image_shape[2], _MOST_PX[size])
            return images[index]
        except (TenfoldError, OSError, ValueError) as error:
            raise Refusal(
                410,
                "unreadable",
                f"The picture of {name} cannot be read any more. What is decided is kept; to have "
                "the picture again, make the images again: tenfold acquire --out RUN",
            ) from error


def _encoded(pixels: npt.NDArray[np.uint8], size: Size) -> tuple[bytes, str]:
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    content = io.BytesIO()
    if max(picture.size) <= _LOSSLESS_PX:
        picture.save(content, "PNG")
        return content.getvalue(), "image/png"
    picture.thumbnail((_LONGEST_PX[size], _LONGEST_PX[size]))  # of a panorama
    picture.save(content, "JPEG", quality=_JPEG_QUALITY[size])
    return content.getvalue(), "image/jpeg"
