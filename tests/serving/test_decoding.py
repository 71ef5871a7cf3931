"""Hostile and damaged images are refusals, before they cost anything."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builders.hostile_images import HOSTILE, png_file, png_of_16_bits
from tenfold.core.records.data import ValueRange, ValueRanges
from tenfold.data.images.decoding import quiet_pillow
from tenfold.data.images.formats import DecodingLimits
from tenfold.serving.decoding import UploadDecoder
from tenfold.serving.guard import Refusal
from tenfold.serving.requests import MemoryBudget

SHAPE = (8, 8, 3)


def decode(content: bytes, *, is_quick: bool = False, **changes: Any) -> Any:
    limits = DecodingLimits(pixels=1_000_000, processor_seconds=5)
    decoder = UploadDecoder(SHAPE, **{"limits": limits, **changes})
    with quiet_pillow():
        return decoder.decode(content, is_quick=is_quick)


def bomb(width: int, height: int) -> bytes:
    """Make a small PNG that says it has so many pixels, and whose data are zeros without end."""
    return png_file(width, height, bytes(10_000_000))


def test_pixels_as_they_are(make_png: Any) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    assert (decode(make_png(pixels)) == pixels).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
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
    [b"", b"hello", b"\x89PNG\r\n\x1a\n"],
    ids=["empty", "text", "head only"],
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


@pytest.mark.parametrize("kind", ["TIFF", "PPM"])
def test_formats_that_nobody_needs_are_closed_unless_they_are_opened(
    kind: str, make_png: Any
) -> None:
    content = make_png(np.full((30, 50, 3), 200, np.uint8), kind)
    with pytest.raises(Refusal, match=f"{kind} is not taken here.*more_formats") as caught:
        decode(content)
    assert caught.value.status == 415
    assert (decode(content, formats=frozenset({"PNG", kind})) == 200).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS is not read"),
        (b"\xff\x0a" + bytes(30), "JPEG XL is not read: convert it"),
        (b"<!doctype html><title>Not found</title>", "a web page"),
    ],
)
def test_other_kinds_are_named(content: bytes, said: str) -> None:
    with pytest.raises(Refusal, match=said) as caught:
        decode(content)
    assert caught.value.status == 415


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_what_may_take_long_is_not_decoded_in_the_networks_thread(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        decode(
            HOSTILE[name],
            is_quick=True,
            formats=frozenset({"TIFF", "PPM", "PNG", "JPEG", "GIF", "BMP", "WEBP"}),
        )
    assert caught.value.code in ("not_quick", "too_many_pixels")


def test_the_memory_of_decoding_is_counted_and_given_back() -> None:
    budget = MemoryBudget(3_000_000)
    gray = png_file(1500, 1000, bytes(1501 * 1000), colour=0)
    shape = (8, 8, 1)
    decoder = UploadDecoder(shape, hold=budget.decoding)
    with quiet_pillow():
        assert decoder.decode(gray).shape == shape
        assert budget.held_bytes == 0
        with budget.request() as hold:
            hold(2_000_000)
            with pytest.raises(Refusal) as caught:
                decoder.decode(gray)
            assert caught.value.status == 503
        assert budget.held_bytes == 0
    assert decoder.limits.memory_bytes is None


def test_an_image_that_takes_more_memory_than_there_is_for_all_is_too_large() -> None:
    deep = png_of_16_bits(np.zeros((400, 400, 3), np.uint16))
    limits = DecodingLimits(memory_bytes=400 * 400 * 4)
    with pytest.raises(Refusal) as caught:
        decode(deep, limits=limits)
    assert (caught.value.status, caught.value.code) == (413, "too_much_memory")
    plain = png_file(400, 400, bytes(1201 * 400))
    assert decode(plain, limits=limits).shape == SHAPE


def test_the_models_range_is_used() -> None:
    values = np.full((8, 8, 1), 2048, np.uint16)
    ranges = ValueRanges(integers=ValueRange(low=0, high=4095))
    assert abs(int(decode(png_of_16_bits(values), ranges=ranges)[0, 0, 0]) - 128) <= 1
