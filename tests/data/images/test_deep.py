"""Images of more than 8 bits: every kind of file, scaled by the range that is used."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builders.hostile_images import gray_tiff, png_of_16_bits, tiff_after, tiff_file
from tenfold.core.progress import SilentProgress
from tenfold.core.records.data import BEFORE_THEY_WERE_FOUND, ValueRange, ValueRanges
from tenfold.data.images.decoding import decode_image, quiet_pillow, read_header
from tenfold.data.images.formats import UnreadableImageError
from tenfold.data.images.reading import DecodedImages, decode_files

TWELVE_BITS = ValueRanges(integers=ValueRange(low=0, high=4095))
RNG = np.random.default_rng(3)


def decode(content: bytes, shape: tuple[int, int, int], ranges: ValueRanges) -> Any:
    with quiet_pillow():
        return decode_image(io.BytesIO(content), shape, is_resized=False, ranges=ranges)


def expected(values: Any) -> Any:
    return np.floor(np.minimum(values, 4095) / 4095 * 255 + 0.5).astype(np.uint8)


def tiff_of(values: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(values).save(content, "TIFF")
    return content.getvalue()


def colour_tiff(values: Any, planes: int = 1) -> bytes:
    height, width, _ = values.shape
    entries = gray_tiff(width, height, t258=(3, 3, 0), t262=(3, 1, 2), t277=(3, 1, 3))
    data = values.astype("<u2").tobytes()
    entries |= {273: (4, 1, 0), 278: (4, 1, height), 279: (4, 1, len(data)), 284: (3, 1, planes)}
    start = tiff_after(len(entries))
    entries |= {258: (3, 3, start), 273: (4, 1, start + 8)}
    return tiff_file(entries, np.array([16, 16, 16, 0], "<u2").tobytes() + data)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_12_bits_in_png_use_all_shades(channels: int) -> None:
    values = RNG.integers(0, 4096, (6, 9, channels))
    if channels in (2, 4):
        values[..., -1] = 65535
    content = png_of_16_bits(values)
    with quiet_pillow():
        header = read_header(io.BytesIO(content))
    assert (header.depth, header.is_gray) == ("integers", channels < 3)
    colours = 1 if channels < 3 else 3
    assert np.array_equal(
        decode(content, (6, 9, colours), TWELVE_BITS), expected(values[..., :colours])
    )


def test_opacity_of_16_bits_lies_over_white() -> None:
    values = np.zeros((2, 2, 4), np.uint16)
    values[0, 0, 3] = 65535
    pixels = decode(png_of_16_bits(values), (2, 2, 3), TWELVE_BITS)
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["gray", "signed", "32 bits", "fractions", "colours"])
def test_12_bits_in_tiff_use_all_shades(kind: str) -> None:
    values = RNG.integers(0, 4096, (6, 9, 3 if kind == "colours" else 1))
    if kind == "colours":
        content = colour_tiff(values)
    else:
        types = {"gray": "u2", "signed": "i2", "32 bits": "i4", "fractions": "f4"}
        content = _gray_tiff_of(values[..., 0].astype(types[kind]))
    ranges = ValueRanges(integers=TWELVE_BITS.integers, fractions=TWELVE_BITS.integers)
    pixels = decode(content, values.shape, ranges)
    assert np.array_equal(pixels, expected(values))


def _gray_tiff_of(values: Any) -> bytes:
    if values.dtype == np.int16:  # Pillow writes no signed 16 bits.
        height, width = values.shape
        entries = gray_tiff(width, height, t258=(3, 1, 16), t339=(3, 1, 2), t273=(4, 1, 0))
        entries |= {278: (4, 1, height), 279: (4, 1, values.nbytes)}
        entries[273] = (4, 1, tiff_after(len(entries)))
        return tiff_file(entries, values.astype("<i2").tobytes())
    return tiff_of(values)


def test_colours_in_planes_are_refused_not_scrambled() -> None:
    content = colour_tiff(RNG.integers(0, 4096, (6, 9, 3)), planes=2)
    with pytest.raises(UnreadableImageError, match="separate planes"):
        decode(content, (6, 9, 3), TWELVE_BITS)


def test_what_is_no_number_is_black_and_what_is_outside_is_clipped() -> None:
    values = np.array([[np.nan, -5.0, 0.5, np.inf]], np.float32)
    ranges = ValueRanges(fractions=ValueRange(low=0, high=1))
    assert decode(tiff_of(values), (1, 4, 1), ranges).ravel().tolist() == [0, 0, 128, 255]


def test_without_a_range_a_files_own_bits_count() -> None:
    nine = np.array([[[0], [256], [511]]], np.uint16)
    assert decode(png_of_16_bits(nine), (1, 3, 1), ValueRanges()).ravel().tolist() == [0, 128, 255]
    eight = np.array([[[0], [7], [200]]], np.uint16)
    assert decode(png_of_16_bits(eight), (1, 3, 1), ValueRanges()).ravel().tolist() == [0, 7, 200]


def test_what_was_trained_before_is_read_as_before() -> None:
    values = np.array([[[0], [257], [4095], [32768], [65535]]], np.uint16)
    pixels = decode(png_of_16_bits(values), (1, 5, 1), BEFORE_THEY_WERE_FOUND)
    assert pixels.ravel().tolist() == [0, 1, 16, 128, 255]


def _acquired(folder: Path, contents: list[bytes], **options: Any) -> DecodedImages:
    folder.mkdir()
    files = []
    for number, content in enumerate(contents):
        files.append(folder / f"{number:03}.png")
        files[-1].write_bytes(content)
    return decode_files(files, None, SilentProgress(), is_strict=True, **options)


def _gray(low: int, high: int) -> bytes:
    values = RNG.integers(low, high + 1, (8, 8, 1))
    values[0, 0, 0], values[0, 1, 0] = low, high
    return png_of_16_bits(values)


@pytest.mark.parametrize(
    ("contents", "low", "high"),
    [
        ([_gray(0, 3900), _gray(0, 900)], 0, 4095),
        ([_gray(100, 60_000)], 0, 65535),
        ([_gray(0, 255)], 0, 255),
        ([_gray(27_315, 31_000)], 27_315, 31_000),
        ([tiff_of(RNG.random((8, 8), dtype=np.float32))], 0, 1),
        ([tiff_of(np.linspace(-1000, 3000, 64, dtype=np.int32).reshape(8, 8))], -1000, 3000),
    ],
    ids=["X-rays", "16 bits", "8 in 16 bits", "thermal", "fractions", "Hounsfield units"],
)
def test_the_range_that_is_used_is_found_and_said(
    contents: list[bytes], low: float, high: float, tmp_path: Path
) -> None:
    decoded = _acquired(tmp_path / "a", contents)
    found = decoded.ranges.integers or decoded.ranges.fractions
    assert found is not None
    assert abs(found.low - low) <= 60
    assert abs(found.high - high) <= 60
    assert len(np.unique(decoded.images)) > 40
    assert f"{found.high:,.6g}" in decoded.notes[0]


def test_a_few_burnt_in_values_do_not_take_the_shades(tmp_path: Path) -> None:
    values = RNG.integers(0, 4096, (64, 64, 1))
    values[0, :10] = 65535
    decoded = _acquired(tmp_path / "a", [png_of_16_bits(values)])
    assert decoded.ranges.integers is not None
    assert decoded.ranges.integers.high < 5000


def test_only_training_images_are_measured_and_others_are_scaled_alike(tmp_path: Path) -> None:
    decoded = _acquired(
        tmp_path / "a", [_gray(0, 4000), _gray(0, 60_000)], is_training=np.array([True, False])
    )
    assert decoded.ranges == TWELVE_BITS
    assert (decoded.images[1] == 255).mean() > 0.5


def test_images_of_8_bits_beside_them_stay_as_they_are(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("L", (8, 8), 77).save(content, "PNG")
    decoded = _acquired(tmp_path / "a", [_gray(0, 4000), content.getvalue()])
    assert (decoded.images[1] == 77).all()
    assert "other 1 images have 8 bits" in decoded.notes[1]
