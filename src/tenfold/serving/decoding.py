"""The bytes that a client sent to the pixels that the network takes, or the reason why not."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tenfold.core.records.data import ValueRanges
from tenfold.data.images.decoding import decode_image
from tenfold.data.images.formats import (
    HEAD_BYTES,
    WEB_FORMATS,
    DecodingLimits,
    NoMemoryNowError,
    NotPlainError,
    TooManyPixelsError,
    TooMuchMemoryError,
    UnreadableImageError,
    recognise,
    why_not_read,
)
from tenfold.data.images.pillow import Hold
from tenfold.serving.guard import Refusal

NOT_QUICK = "not_quick"
"""Code of a refusal of an image that is to be decoded elsewhere; no client sees it."""
_NAMES = {"HEIF": "HEIC", "WEBP": "WebP"}
_ORDER = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF", "HEIF", "TIFF", "PPM")


@dataclass(frozen=True)
class UploadDecoder:
    """Decodes what clients send, as the data set's own images were decoded."""

    image_shape: tuple[int, int, int]
    """Height, width and channels that the network takes."""
    ranges: ValueRanges = field(default_factory=ValueRanges)
    """What the data set's images of more than 8 bits use."""
    limits: DecodingLimits = field(default_factory=DecodingLimits)
    """What one image may cost."""
    formats: frozenset[str] = WEB_FORMATS
    hold: Hold | None = None
    """Holds memory while an image is decoded; None for no limit but the machine's."""

    def decode(
        self, content: bytes, *, most_pixels: int | None = None, is_quick: bool = False
    ) -> npt.NDArray[np.uint8]:
        """Decode an image file of at most `most_pixels`, where that is less than the limit.

        `is_quick` refuses what may take a while. It is refused with 413 if it has too many pixels
        or takes too much memory, 415 if its format is not taken, 422 if it cannot be read, 503 if
        there is no memory for it at the moment.
        """
        if not content:
            raise Refusal(422, "empty", "The image is empty: 0 bytes were received.")
        self._check_format(content)
        limits = self.limits
        if most_pixels is not None:
            limits = replace(limits, pixels=min(most_pixels, limits.pixels))
        try:
            return decode_image(
                io.BytesIO(content),
                self.image_shape,
                is_resized=True,
                ranges=self.ranges,
                limits=limits,
                is_quick=is_quick,
                hold=self.hold,
            )
        except (UnreadableImageError, MemoryError) as error:
            raise _image_refusal(error, self.formats) from error

    def _check_format(self, content: bytes) -> None:
        kind = recognise(content[:HEAD_BYTES])
        if kind in self.formats or kind == "":
            return  # What is none is said to be unreadable.
        reason = why_not_read(kind)
        if reason is not None:
            raise Refusal(415, "unsupported", f"This is no image that is taken: {reason}.")
        raise Refusal(
            415,
            "unsupported",
            f"{kind} is not taken here. {_taken(self.formats)} Convert it to PNG, or have the "
            f"server started with --set 'more_formats=[\"{kind.lower()}\"]'.",
        )


def _image_refusal(error: UnreadableImageError | MemoryError, formats: frozenset[str]) -> Refusal:
    match error:
        case NotPlainError():
            return Refusal(503, NOT_QUICK, str(error))
        case TooManyPixelsError():
            return Refusal(
                413,
                "too_many_pixels",
                f"The image has {error.width:,} × {error.height:,} pixels; up to "
                f"{error.most_pixels / 1e6:g} million are taken. Send a smaller one.",
            )
        case NoMemoryNowError() | MemoryError():
            return Refusal(
                503, "busy", "There is no memory for this image at the moment. Try again later."
            )
        case TooMuchMemoryError():
            return Refusal(
                413,
                "too_much_memory",
                "Decoding the image takes more memory than is allowed here. Send a smaller one, or "
                "a JPEG that is not progressive, of which only a part need be decoded.",
            )
    return Refusal(422, "unreadable", f"The image cannot be read: {error}. {_taken(formats)}")


def _taken(formats: frozenset[str]) -> str:
    names = [
        _NAMES.get(kind, kind) for kind in _ORDER if kind in formats and why_not_read(kind) is None
    ]
    return f"{', '.join(names[:-1])} and {names[-1]} are taken."
