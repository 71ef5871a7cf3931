"""Why an image file cannot be used."""

from __future__ import annotations


class UnreadableImageError(Exception):
    """Why an image file cannot be used; caught by whoever decodes many.

    The same words for the same kind of trouble, so that reasons can be counted.
    """


class TooManyPixelsError(UnreadableImageError):
    """An image has more pixels than the caller wants to unpack."""

    def __init__(self, width: int, height: int, most_pixels: int) -> None:
        super().__init__(f"it has more than {most_pixels / 1e6:g} million pixels")
        self.width = width
        self.height = height
        self.most_pixels = most_pixels


class TooMuchMemoryError(UnreadableImageError):
    """Decoding an image takes more memory than the caller allows."""

    def __init__(self) -> None:
        super().__init__("decoding it takes more memory than is allowed")


class NoMemoryNowError(UnreadableImageError):
    """There is no memory for an image while others are decoded."""

    def __init__(self) -> None:
        super().__init__("there is no memory for it at the moment")


class NotPlainError(UnreadableImageError):
    """An image is not decoded quickly enough for a caller who cannot wait."""

    def __init__(self) -> None:
        super().__init__("decoding it may take a while")
