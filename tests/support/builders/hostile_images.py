"""Image files made to cost their reader much, and files of more than 8 bits, byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Give one chunk of a PNG file."""
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


def png_file(
    width: int,
    height: int,
    data: bytes,
    *,
    depth: int = 8,
    colour: int = 2,
    chunks: bytes = b"",
) -> bytes:
    """Give a PNG that says it has so many pixels; `data` are its rows, filter bytes included."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(data, 9))
    return b"\x89PNG\r\n\x1a\n" + head + chunks + body + png_chunk(b"IEND", b"")


def png_of_16_bits(values: np.ndarray[Any, np.dtype[Any]]) -> bytes:
    """Give a PNG with 16 bits a value, of values (H, W, C): gray, gray and opacity, RGB, RGBA."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png_file(width, height, rows, depth=16, colour={1: 0, 2: 4, 3: 2, 4: 6}[channels])


def tiff_file(entries: dict[int, tuple[int, int, int]], data: bytes = b"") -> bytes:
    """Give a TIFF of one folder: tag to (type, count, value or place); data follow the folder."""
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    body = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    return head + body + bytes(4) + data


def tiff_after(entries: int) -> int:
    """Give the place where the data of a TIFF with so many entries begin."""
    return 8 + 2 + 12 * entries + 4


def gray_tiff(width: int, height: int, **changes: tuple[int, int, int]) -> dict[int, Any]:
    """Give the entries of a gray TIFF of one strip; changes by ``tNUMBER``."""
    entries = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 1),
        277: (3, 1, 1),
    }
    return entries | {int(name[1:]): entry for name, entry in changes.items()}


def tiff_of_one_tile(side: int = 46_000) -> bytes:
    """Give a TIFF of few bytes whose only tile has so many pixels a side."""
    entries = gray_tiff(
        64, 64, t259=(3, 1, 8), t322=(4, 1, side), t323=(4, 1, side), t324=(4, 1, 0), t325=(4, 1, 9)
    )
    entries[324] = (4, 1, tiff_after(len(entries)))
    return tiff_file(entries, zlib.compress(bytes(8)))


def tiff_of_strips(count: int) -> bytes:
    """Give a TIFF of so many strips, one row each."""
    entries = gray_tiff(1, count, t273=(4, count, 0), t278=(4, 1, 1), t279=(4, count, 0))
    start = tiff_after(len(entries))
    entries[273], entries[279] = (4, count, start), (4, count, start + 4 * count)
    return tiff_file(entries, struct.pack("<I", 8) * count + struct.pack("<I", 1) * count)


def tiff_of_a_loop() -> bytes:
    """Give a TIFF whose folder says that it is followed by itself."""
    entries = gray_tiff(8, 8, t273=(4, 1, 0), t278=(4, 1, 8), t279=(4, 1, 64))
    entries[273] = (4, 1, tiff_after(len(entries)))
    content = bytearray(tiff_file(entries, bytes(64)))
    struct.pack_into("<I", content, tiff_after(len(entries)) - 4, 8)
    return bytes(content)


def jpeg_file(image: Image.Image | None = None, **options: Any) -> bytes:
    """Give a JPEG."""
    content = io.BytesIO()
    (image or Image.new("RGB", (64, 64), "red")).save(content, "JPEG", **options)
    return content.getvalue()


def jpeg_of_scans(count: int, side: int = 4096) -> bytes:
    """Give a progressive JPEG with so many scans after its own that hold nothing new."""
    content = jpeg_file(Image.new("L", (side, side)), progressive=True)
    # The last scan, its tables before it, again and again.
    start = content.rindex(b"\xff\xda")
    return content[:-2] + content[start:-2] * count + b"\xff\xd9"


def jpeg_of_segments(count: int) -> bytes:
    """Give a JPEG with so many empty comments."""
    content = jpeg_file()
    return content[:2] + b"\xff\xfe\0\2" * count + content[2:]


def exif_of_copies(size: int, entries: int) -> bytes:
    """Give EXIF whose every entry points at all of it."""
    table = b"".join(struct.pack("<HHII", 1000 + n, 7, size - 64, 8) for n in range(entries))
    block = b"II*\0" + struct.pack("<IH", 8, entries) + table + bytes(4)
    return block + bytes(max(0, size - len(block)))


def png_of_exif(size: int, entries: int) -> bytes:
    """Give a PNG of one pixel with such EXIF."""
    return png_file(1, 1, bytes(4), chunks=png_chunk(b"eXIf", exif_of_copies(size, entries)))


def png_of_chunks(count: int) -> bytes:
    """Give a PNG of one pixel with so many empty chunks."""
    return png_file(1, 1, bytes(4), chunks=png_chunk(b"abCd", b"") * count)


def png_of_data_chunks(count: int) -> bytes:
    """Give a PNG of one pixel whose data come in so many empty chunks and one."""
    return png_file(1, 1, bytes(4), chunks=png_chunk(b"IDAT", b"") * count)


def gif_of_comments(count: int) -> bytes:
    """Give a GIF with so many comments before its picture."""
    content = io.BytesIO()
    Image.new("P", (4, 4)).save(content, "GIF")
    head = 13 + (3 << (content.getvalue()[10] & 7) + 1)
    comment = b"!\xfe\1a\0"
    return content.getvalue()[:head] + comment * count + content.getvalue()[head:]


def gif_beyond_its_canvas(side: int = 60_000) -> bytes:
    """Give a GIF of a small canvas whose picture is large."""
    head = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6)
    return head + b"," + struct.pack("<4HB", 0, 0, side, side, 0) + b"\2\2\x44\1\0;"


def bmp_of_runs(commands: int, side: int = 10_000) -> bytes:
    """Give a bitmap of run lengths, each one pixel long."""
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    body = head + bytes(1024) + b"\1\0" * commands + b"\0\1"
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 40 + 1024) + body


def ppm_of_text(side: int) -> bytes:
    """Give a portable pixmap whose values are written as text."""
    return b"P3 %d %d 255\n" % (side, side) + b"7 " * (3 * side * side)


def webp_canvas(side: int) -> bytes:
    """Give the beginning of a WebP animation of so many pixels a side."""
    sides = (side - 1).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + sides
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    return b"RIFF" + struct.pack("<I", len(body)) + body


HOSTILE: dict[str, bytes] = {
    "a tile": tiff_of_one_tile(),
    "strips": tiff_of_strips(10_000),
    "a loop": tiff_of_a_loop(),
    "scans": jpeg_of_scans(100, 64),
    "segments": jpeg_of_segments(20_000),
    "exif in PNG": png_of_exif(2**21, 20_000),
    "chunks": png_of_chunks(20_000),
    "data chunks": png_of_data_chunks(20_000),
    "comments": gif_of_comments(20_000),
    "runs": bmp_of_runs(10_000, 100),
    "text": ppm_of_text(60),
    "an animation": webp_canvas(9000),
}
"""Each is sent to a process of its own, and gives pixels or a reason there."""
