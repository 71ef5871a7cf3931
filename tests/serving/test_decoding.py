"""Hostile and damaged images are refusals, before they cost anything."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tenfold.serving.decoding import decode_upload
from tenfold.serving.refusal import Refusal
from tenfold.sources.image_decoding import quiet_pillow

SHAPE = (8, 8, 3)


def decode(content: bytes, most_pixels: int = 1_000_000) -> Any:
    with quiet_pillow():
        return decode_upload(content, SHAPE, most_pixels=most_pixels)


def bomb(width: int, height: int) -> bytes:
    """Make a small PNG that says it has so many pixels, and whose data are zeros without end."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_pixels_as_they_are(make_png: Any) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    assert (decode(make_png(pixels)) == pixels).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_other_sizes_and_kinds(kind: str, make_png: Any) -> None:
    pixels = np.full((30, 50, 3), 200, np.uint8)
    decoded = decode(make_png(pixels, kind))
    assert decoded.shape == SHAPE
    assert abs(decoded.astype(int) - 200).max() < 6


@pytest.mark.parametrize("size", [(1001, 1000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_by_their_header(size: tuple[int, int]) -> None:
    with pytest.raises(Refusal) as caught:
        decode(bomb(*size))
    assert caught.value.status in (413, 422)
    assert caught.value.code in ("too_many_pixels", "unreadable")


def test_the_limit_is_told() -> None:
    with pytest.raises(Refusal, match=r"1,001 × 1,000 pixels; up to 1 million are taken") as caught:
        decode(bomb(1001, 1000))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"],
    ids=["empty", "text", "head only", "postscript"],
)
def test_no_images(content: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        decode(content)
    assert caught.value.status == 422


def test_truncated_at_every_place(make_png: Any) -> None:
    content = make_png(np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8), "JPEG")
    for end in range(0, len(content) - 2, 7):
        with pytest.raises(Refusal):
            decode(content[:end])


def test_memory_that_is_not_there_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **more: Any) -> None:
        raise MemoryError

    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "PNG")
    monkeypatch.setattr("tenfold.serving.decoding.decode_image", full)
    with pytest.raises(Refusal) as caught:
        decode(content.getvalue())
    assert caught.value.status == 503
