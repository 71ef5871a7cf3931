"""What decoding a file would cost, by a look at its structure, before any decoder sees it.

A file is *plain* if its structure bounds the time and the memory that it takes: then it is decoded
where it is asked for. Whatever else claims to be an image goes to a process that can be ended
(`processes`). Nothing is believed that a decoder would find to be otherwise only after it
has paid for it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from tenfold.data.images.formats import HEAD_BYTES, UnreadableImageError, recognise

# A phone's photograph has about ten segments, a PNG a dozen chunks beside its pixels. More are
# parsed by Python, each for microseconds: a million of them hold everybody up.
_MOST_PARTS = 256
_MOST_EXTRA_BYTES = 2**20  # Of all that is beside the pixels, except a JPEG's, which is in segments
_LEAST_DATA_CHUNK = 1024  # Of a PNG, on average; encoders write 8 KiB and more.
# libjpeg walks all blocks again for each scan, an empty one too; encoders write about ten.
_MOST_SCANS = 32
_MOST_HONEST_SCANS = 256
_MOST_SCANNED_PIXELS = 400_000_000
_MOST_JPEG_BYTES = 2**28  # That are looked through for scans.
_MOST_CANVAS_PIXELS = 80_000_000  # Pillow has limits of its own where a canvas is made.
_NEXT_SCAN = re.compile(rb"\xff\xda")
_PPM_HEADER = re.compile(rb"P([456])\s+(?:#[^\n]*\n\s*)*(\d{1,7})\s+(\d{1,7})\s+(?:(\d{1,5})\s)?")
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_SINGLE_SCAN_FRAMES, _PROGRESSIVE_FRAME = (0xC0, 0xC1), 0xC2
_OTHER_FRAMES = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_VALUE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)  # of TIFF's field types


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file's structure says.

    Parameters
    ----------
    kind
        Its format, see `tenfold.data.images.formats.recognise`.
    width, height
        In px, as stored; 0 where only a decoder can tell.
    is_plain
        Whether it may be decoded in this process.
    may_turn
        Whether something in it may say that it is to be turned.
    is_progressive
        Whether a JPEG decoder holds all coefficients at once.
    """

    kind: str
    width: int = 0
    height: int = 0
    is_plain: bool = False
    may_turn: bool = True
    is_progressive: bool = False


def inspect_file(file: BinaryIO, suffix: str = "") -> Inspection:
    """Look at a file's structure; costs microseconds, and reads all of progressive JPEGs alone.

    Parameters
    ----------
    file
        Open, at any place; it may be left at any other.
    suffix
        Of its name.

    Raises
    ------
    UnreadableImageError
        If no honest file is made so.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    kind = recognise(head, suffix)
    look = _LOOKS.get(kind)
    try:
        found = None if look is None else look(file, head)
    except (struct.error, IndexError):  # cut off
        found = None
    return found or Inspection(kind)


def claims_little(exif: bytes) -> bool:
    """Say whether a block of EXIF makes a parser copy little more than it is itself.

    Every entry may point at the same megabytes, and parsers copy them for each.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return True  # nothing that is parsed
    (at,) = struct.unpack_from(order + "I", block, 4)
    if at + 2 > len(block):
        return True
    (count,) = struct.unpack_from(order + "H", block, at)
    claimed = 0
    for entry in range(at + 2, min(at + 2 + 12 * count, len(block) - 11), 12):
        _, kind, values = struct.unpack_from(order + "HHI", block, entry)
        if (size := values * (_VALUE_BYTES[kind] if kind < len(_VALUE_BYTES) else 1)) <= len(block):
            claimed += size  # what is larger than the block ends the parsing
    return claimed <= 4 * len(block) + 2**16


def _png(file: BinaryIO, head: bytes) -> Inspection | None:
    length, name, width, height, depth, colour = struct.unpack_from(">I4sIIBB", head, 8)
    if name != b"IHDR" or length != 13 or depth not in _PNG_DEPTHS.get(colour, ()):
        return None
    extra = parts = data_parts = data_bytes = 0
    may_turn = False
    at = 33
    while True:
        file.seek(at)
        start = file.read(8)
        if len(start) < 8:
            break  # cut off: the decoder says so
        length, name = struct.unpack(">I4s", start)
        at += 12 + length
        if name == b"IDAT":
            data_parts += 1
            data_bytes += length
            if data_parts > _MOST_PARTS + data_bytes // _LEAST_DATA_CHUNK:
                return Inspection("PNG", width, height)
            continue
        if name == b"IEND":
            break
        parts += 1
        extra += length
        if parts > _MOST_PARTS or extra > _MOST_EXTRA_BYTES or name == b"acTL":
            return Inspection("PNG", width, height)
        may_turn |= name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
    is_plain = width > 0 and height > 0
    return Inspection("PNG", width, height, is_plain=is_plain, may_turn=may_turn)


def _jpeg(file: BinaryIO, _: bytes) -> Inspection | None:
    at, frame = 2, None
    may_turn = False
    blocks: list[bytes] = []
    for _part in range(_MOST_PARTS):
        file.seek(at)
        start = file.read(20)
        marker, length = start[1], int.from_bytes(start[2:4], "big")
        if start[0] != 0xFF or length < 2:
            return None  # Fill bytes, or damaged.
        if marker == 0xDA:
            return None if frame is None else _scans(file, at, start, frame, may_turn=may_turn)
        if marker in _OTHER_FRAMES:
            return None
        if marker in (*_SINGLE_SCAN_FRAMES, _PROGRESSIVE_FRAME):
            if frame is not None or start[4] != 8:
                return None
            height, width = struct.unpack_from(">HH", start, 5)
            frame = (marker, width, height, start[9])
        elif marker in (0xE1, 0xE2):
            may_turn |= marker == 0xE1
            for name in (b"Exif\0\0", b"MPF\0"):
                if start.startswith(name, 4):
                    file.seek(at + 4 + len(name))
                    # Parts of one name are joined, and then claim what each alone could not.
                    if name in blocks or not claims_little(file.read(length - 2 - len(name))):
                        return None
                    blocks.append(name)
        at += 2 + length
    return None


def _scans(
    file: BinaryIO, at: int, start: bytes, frame: tuple[int, int, int, int], *, may_turn: bool
) -> Inspection:
    marker, width, height, components = frame
    scans = 1
    if marker == _PROGRESSIVE_FRAME or start[4] != components:
        file.seek(at)
        rest = file.read(_MOST_JPEG_BYTES + 1)
        scans = 0 if len(rest) <= _MOST_JPEG_BYTES else _MOST_SCANS + 1
        for _ in _NEXT_SCAN.finditer(rest):
            scans += 1
            if scans > _MOST_HONEST_SCANS:
                break
    if scans > _MOST_HONEST_SCANS:
        raise UnreadableImageError(
            "it is a JPEG of hundreds of scans, as files made to cost time are"
        )
    is_plain = (
        width > 0
        and height > 0
        and scans <= _MOST_SCANS
        and (scans == 1 or scans * width * height <= _MOST_SCANNED_PIXELS)
    )
    is_progressive = marker == _PROGRESSIVE_FRAME or scans > 1
    return Inspection("JPEG", width, height, is_plain, may_turn, is_progressive)


def _webp(_: BinaryIO, head: bytes) -> Inspection | None:
    name = head[12:16]
    may_turn = False
    if name == b"VP8X":
        flags = head[20]
        width = int.from_bytes(head[24:27], "little") + 1
        height = int.from_bytes(head[27:30], "little") + 1
        may_turn = bool(flags & 0x0C)
        if flags & 0x02:
            return Inspection("WEBP", width, height)  # an animation
    elif name == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif name == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", head, 26))
    else:
        return None
    is_plain = 0 < width * height <= _MOST_CANVAS_PIXELS
    return Inspection("WEBP", width, height, is_plain, may_turn)


def _gif(file: BinaryIO, head: bytes) -> Inspection | None:
    width, height, flags = struct.unpack_from("<HHB", head, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    for _ in range(_MOST_PARTS):
        file.seek(at)
        start = file.read(10)
        if start[0] == 0x2C:
            left, top, frame_width, frame_height = struct.unpack_from("<4H", start, 1)
            # Pillow makes the canvas larger where its first frame goes beyond it.
            width, height = max(width, left + frame_width), max(height, top + frame_height)
            is_plain = 0 < width * height <= _MOST_CANVAS_PIXELS
            return Inspection("GIF", width, height, is_plain)
        if start[0] != 0x21:
            return None
        at += 2
        for _ in range(_MOST_PARTS):
            file.seek(at)
            size = file.read(1)[0]
            at += 1 + size
            if size == 0:
                break
        else:
            return None
    return None


def _bmp(_: BinaryIO, head: bytes) -> Inspection | None:
    size, width, height = struct.unpack_from("<Iii", head, 14)
    bits, compression = struct.unpack_from("<HI", head, 28)
    # Run lengths are decoded by Python, each in a microsecond.
    if size < 40 or compression not in (0, 3) or bits not in (1, 4, 8, 16, 24, 32):
        return None
    is_plain = width > 0 and height != 0
    return Inspection("BMP", width, abs(height), is_plain, may_turn=False)


def _ppm(_: BinaryIO, head: bytes) -> Inspection | None:
    found = _PPM_HEADER.match(head)
    if found is None:
        return None
    kind, width, height, most = found.groups()
    # Numbers as text, and other ranges than a byte's, are decoded by Python.
    is_plain = (kind == b"4" or most == b"255") and int(width) > 0 and int(height) > 0
    return Inspection("PPM", int(width), int(height), is_plain, may_turn=False)


_LOOKS = {"PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "GIF": _gif, "BMP": _bmp, "PPM": _ppm}
