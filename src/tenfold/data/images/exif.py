"""What EXIF says of a photograph: how it is turned, what took it, and when.

Damaged EXIF raises anything, and is no reason to lose the image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from PIL import Image, ImageFile

from tenfold.data.images.inspection import claims_little

_ORIENTATION_TAG = 0x0112
# Make and model of the camera; its folder of details, and there the time of the exposure.
_MAKE_TAG, _MODEL_TAG, _DETAILS, _EXPOSED_TAG = 271, 272, 0x8769, 36867
_MOST_EXIF_TEXT = 100
_MOMENT = re.compile(r"[0-9]{4}:[01][0-9]:[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]")


@dataclass(frozen=True, slots=True)
class Taken:
    """What took a photograph and when, as EXIF says it; empty for what it does not say.

    Parameters
    ----------
    camera
        Make and model.
    time
        ``2019:06:30 12:01:59``: sorted as text, it is in order.
    """

    camera: str
    time: str


def orientation_of(image: ImageFile.ImageFile) -> int:
    """Give how an image is turned, 1 to 8 as EXIF has it; 1 where it does not say."""
    try:
        exif = _exif(image)
        return 1 if exif is None else int(exif.get(_ORIENTATION_TAG, 1))
    except MemoryError:
        raise
    except Exception:  # Damaged EXIF raises anything, and is no reason to lose the image.
        return 1


def _exif(image: ImageFile.ImageFile) -> Image.Exif | None:
    """Give an image's EXIF; None where reading it would cost more than it is worth."""
    block = image.info.get("exif")
    if block is None and (text := image.info.get("Raw profile type exif")) is not None:
        block = bytes.fromhex("".join(text.split("\n")[3:]))
    if block is not None and not claims_little(block):
        return None
    return image.getexif()


def taken_of(image: ImageFile.ImageFile) -> Taken | None:
    """Give what took an image and when; None where nothing says so."""
    try:
        exif = _exif(image)
        if not exif:
            return None
        parts = [str(exif.get(tag, ""))[:_MOST_EXIF_TEXT] for tag in (_MAKE_TAG, _MODEL_TAG)]
        time = str(exif.get_ifd(_DETAILS).get(_EXPOSED_TAG, ""))[:_MOST_EXIF_TEXT]
    except MemoryError:
        raise
    except Exception:  # As of an orientation.
        return None
    camera = " ".join(" ".join(parts).replace("\0", " ").split())
    moment = _MOMENT.match(time)
    taken = Taken(camera, "" if moment is None else moment[0])
    return taken if taken.camera or taken.time else None
