"""Which image files are read, within which limits, and what is said of the others."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

from tenfold.core.machine import total_memory

HEAD_BYTES = 1024
"""Of a file's beginning that `recognise` looks at."""

# Only these of Pillow's formats are opened, whatever a file's name says: some others start programs
# (EPS runs Ghostscript) or are rarely tested against damaged files.
WEB_FORMATS = frozenset({"PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF", "HEIF"})
"""What web browsers and phones send."""
_OTHER_FORMATS = frozenset({"TIFF", "PPM", "DIB"})
# fmt: off
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II\0*", "TIFF"), (b"MM*\0", "TIFF"),
    (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),  # BigTIFF
    (b"\xff\x0a", "JPEG XL"), (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "PSD"),
    (b"FUJIFILMCCD-RAW", "RAW"), (b"IIRO", "RAW"), (b"IIRS", "RAW"), (b"IIU\0", "RAW"),
    (b"FOVb", "RAW"), (b"\0MRM", "RAW"),
    (b"%!PS", "EPS"), (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF", "PDF"),
    (b"\0\0\1\0", "ICO"),
    (b"v/1\1", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"), (b"#?RGBE", "Radiance HDR"),
    (b"DDS ", "DDS"), (b"qoif", "QOI"), (b"icns", "ICNS"), (b"SIMPLE  =", "FITS"),
    (b"gimp xcf", "XCF"),
    (b"version https://git-lfs", "Git LFS"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs",
                     b"mif1", b"msf1", b"miaf"), "HEIF"),
    b"crx ": "RAW",
    b"jxl ": "JPEG XL",
}
_RAW_SUFFIXES = frozenset({
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf",
    ".pef", ".srw", ".3fr", ".iiq", ".x3f", ".erf", ".mef", ".mos", ".kdc", ".dcr",
})
IMAGE_SUFFIXES = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".dib", ".gif", ".webp",
    ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm",
    ".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif",
    # Images that cannot be read, so that they are counted and named, not passed over.
    ".jxl", ".jp2", ".j2k", ".jpx", ".jpf", ".psd", ".psb", ".svg", ".dcm", ".dicom", ".tga",
    ".exr", ".hdr", ".dds", ".qoi", ".xcf", ".eps", ".nii",
}) | _RAW_SUFFIXES
"""Files with other endings are taken for no images and ignored."""

_CONVERT = {
    "JPEG XL": "JPEG XL is not read: convert it to PNG or JPEG",
    "JPEG 2000": "JPEG 2000 is not read: convert it to PNG or TIFF",
    "RAW": (
        "a camera's raw photograph (DNG, CR2, NEF, ARW and the like) is not read: develop it to "
        "JPEG, PNG or TIFF"
    ),
    "PSD": "Photoshop's PSD is not read: save it as PNG",
    "SVG": "SVG is a drawing without pixels: convert it to PNG at the size you need",
    "DICOM": "DICOM is not read: convert it to 16-bit PNG or TIFF, for example with dcm2img",
    "NIfTI": "NIfTI is not read: write its slices as 16-bit PNG or TIFF",
    "Git LFS": "a Git LFS pointer in the place of the file: run git lfs pull",
    "web page": "a web page, as failed downloads leave it: download the file again",
    "video": "a video: write its frames as PNG or JPEG",
}
_NOT_KNOWN = "not an image of a known format, or empty"
_HEIF_REMEDY = "HEIC, as iPhones write it: pip install 'tenfold[heif]', or convert it to JPEG"
_AVIF_REMEDY = (
    "AVIF is not read by the Pillow of this machine: pip install --upgrade Pillow, or convert it "
    "to PNG"
)
_SVG = re.compile(
    rb"\A\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg", re.S
)
_PAGE = re.compile(rb"\A\s*<(!doctype html|html|head)", re.I)
# Sizes of the header of a bitmap without the file's own header (Pillow's DIB).
_DIB_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_OTHER_SIGNS: dict[str, Callable[[bytes], object]] = {
    "WEBP": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    "DICOM": lambda head: head[128:132] == b"DICM",
    "NIfTI": lambda head: head[344:348] in (b"n+1\0", b"ni1\0"),
    "SVG": _SVG.match,
    "web page": _PAGE.match,
    "PPM": re.compile(rb"P[0-6fy][ \t\r\n#]").match,
    "DIB": lambda head: len(head) > 15 and int.from_bytes(head[:4], "little") in _DIB_HEADERS,
}


def recognise(head: bytes, suffix: str = "") -> str:
    """Give a format's name: Pillow's for those that Pillow reads, ours for others.

    Parameters
    ----------
    head
        The first `HEAD_BYTES` of the file.
    suffix
        Of its name. It decides only where raw photographs call themselves TIFF.

    Returns
    -------
    For example ``PNG``, ``HEIF``, ``DICOM``; empty if it is none that is known.
    """
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return "RAW" if name == "TIFF" and _is_raw(head, suffix) else name
    if head[4:8] == b"ftyp":
        return _BRANDS.get(_brand(head), "video")
    return next((name for name, is_of in _OTHER_SIGNS.items() if is_of(head)), "")


def why_not_read(kind: str) -> str | None:
    """Say why a format cannot be read and what to do; None if it can.

    The same words for the same format, so that reasons can be counted.
    """
    if kind == "":
        return _NOT_KNOWN
    if kind == "HEIF":
        return None if _has_module("pillow_heif") else _HEIF_REMEDY
    if kind == "AVIF":
        return None if _reads_avif() else _AVIF_REMEDY
    if kind in WEB_FORMATS or kind in _OTHER_FORMATS:
        return None
    return _CONVERT.get(kind, f"{kind} is not read: convert it to PNG")


def _is_raw(head: bytes, suffix: str) -> bool:
    # Most raw formats are TIFF files whose first picture is a thumbnail, which would be read.
    return head[8:11] == b"CR\2" or suffix.lower() in _RAW_SUFFIXES


def _brand(head: bytes) -> bytes:
    """Give the first brand of an ISO media file that says what it holds."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    # "mif1" says no more than that it is an image; who coded it follows.
    known = [brand for brand in brands if brand in _BRANDS]
    exact = [brand for brand in known if brand not in (b"mif1", b"msf1", b"miaf")]
    return (exact or known or [b""])[0]


def _has_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _reads_avif() -> bool:
    from PIL import features

    return bool(features.check("avif"))


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


MOST_MEGAPIXELS = 250.0
"""Default of the largest image: the largest cameras of phones have 200 million pixels."""

_UNCOUNTED_BYTES = 2**24  # As little as this is not worth waiting for.
_MEMORY_SHARE = 4  # Decoding takes a quarter of the machine's memory at most, all threads together.
_MEMORY_IF_UNKNOWN = 2**33


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """What one image may cost.

    Parameters
    ----------
    pixels
        As stored in the file.
    memory_bytes
        Held at one time while it is decoded; None for what the machine's share allows.
    processor_seconds
        Of the process that decodes what is not plain; afterwards it is ended.
    """

    pixels: int = int(MOST_MEGAPIXELS * 1e6)
    memory_bytes: int | None = None
    processor_seconds: int = 30

    @property
    def most_bytes(self) -> int:
        """Give the most memory that one image may take."""
        share = machine_memory() // 2
        return share if self.memory_bytes is None else min(share, self.memory_bytes)


DEFAULT_LIMITS = DecodingLimits()


def machine_memory() -> int:
    """Give this machine's memory in bytes, or a guess."""
    return total_memory() or _MEMORY_IF_UNKNOWN


@dataclass
class SharedMemory:
    """The memory that all decoding of this process shares; whoever finds too little waits."""

    _held: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def hold(self, size: int, limits: DecodingLimits) -> Iterator[None]:
        """Hold so many bytes; one alone may hold more than its share.

        Raises
        ------
        TooMuchMemoryError
            If it is more than one image may take.
        """
        if size > limits.most_bytes:
            raise TooMuchMemoryError
        if size <= _UNCOUNTED_BYTES:
            yield
            return
        most = machine_memory() // _MEMORY_SHARE
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + size <= most)
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()


SHARED_MEMORY = SharedMemory()
"""Of this process."""
