"""The page's own decoders and scaling: in the browser, the pixels that `predict` has."""

from __future__ import annotations

import base64
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chromium import Browser
from tenfold.core.records.data import ValueRange, ValueRanges
from tenfold.data.images.decoding import decode_image
from tenfold.data.images.formats import UnreadableImageError
from tenfold.serving.web.folder import TEMPLATES

pytestmark = pytest.mark.browser

RANGES = ValueRanges(integers=ValueRange(low=100, high=30_000))
ORIENTATION = 0x0112
COLOUR, GRAY = (40, 40, 3), (40, 40, 1)
READ = """(async () => {
  const { pixelsOf } = await import('./picture.js');
  const read = async ([name, shape]) => {
    const blob = await (await fetch(name)).blob();
    try {
      const pixels = await pixelsOf(blob, shape, RANGES);
      return btoa(Array.from(pixels, (one) => String.fromCharCode(one)).join(''));
    } catch (error) {
      return `Error: ${error.message}`;
    }
  };
  const all = [];
  for (const one of CASES) all.push(await read(one));
  return all;
})()"""


@pytest.fixture
def read_in_browser(
    browser: Browser, hand_out: Callable[[Path], str], tmp_path: Path
) -> Callable[..., list[str]]:
    """Give a function that has the browser read files of `tmp_path`, in a shape each."""
    for script in TEMPLATES.glob("*.js"):
        shutil.copy(script, tmp_path)
    (tmp_path / "index.html").write_text("<!DOCTYPE html><title>Pixels</title>")

    def read(cases: list[tuple[str, tuple[int, int, int]]]) -> list[str]:
        browser.open(hand_out(tmp_path))
        script = READ.replace("RANGES", RANGES.model_dump_json()).replace(
            "CASES", json.dumps(cases)
        )
        answers: list[str] = browser.evaluate(script)
        return answers

    return read


def photograph(width: int, height: int) -> Image.Image:
    """Give a picture with edges, colours and noise."""
    generator = np.random.default_rng(width * height)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin(x / (5 + c) + y / 11) * np.cos(y / (7 - c)) for c in range(3)]
    pixels = np.stack(waves, axis=-1) + generator.normal(0, 14, (height, width, 3))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 60)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def kinds() -> Iterator[tuple[str, Image.Image, tuple[int, int, int], dict[str, Any]]]:
    for sampling, quality in ((0, 95), (1, 75), (2, 88)):  # 4:4:4, 4:2:2, 4:2:0
        for size in ((503, 301), (131, 97), (21, 38)):  # decoded at 1/4, 1/2 and whole
            for is_progressive in (False, True):
                name = f"{sampling}-{size[0]}-{is_progressive}.jpg"
                options = {"subsampling": sampling, "quality": quality}
                yield name, photograph(*size), COLOUR, options | {"progressive": is_progressive}
    large, small = photograph(430, 290), photograph(90, 70)
    yield "eighth.jpg", photograph(640, 480), COLOUR, {}
    yield "gray.jpg", large.convert("L"), COLOUR, {}
    yield "to-gray.jpg", large, GRAY, {}
    yield "inks.jpg", large.convert("CMYK"), COLOUR, {}
    yield "rgb.jpg", large, COLOUR, {"keep_rgb": True}
    yield "restarts.jpg", large, COLOUR, {"restart_marker_blocks": 5}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        for kind in ("jpg", "png"):
            yield f"turned-{orientation}.{kind}", small, COLOUR, {"exif": exif.tobytes()}
    generator = np.random.default_rng(1)
    clear = small.copy()
    clear.putalpha(Image.fromarray(generator.integers(0, 256, (70, 90), np.uint8)))
    yield "clear.png", clear, COLOUR, {}
    yield "clear-gray.png", clear.convert("LA"), COLOUR, {}
    yield "clear-to-gray.png", clear, GRAY, {}
    yield "key.png", small, COLOUR, {"transparency": (250, 20, 60)}
    yield "palette.png", small.quantize(16), COLOUR, {"bits": 4}
    yield "palette-clear.png", small.quantize(50), COLOUR, {"transparency": 3}
    yield "black-white.png", small.convert("1"), COLOUR, {}
    yield "same-size.png", photograph(40, 40), COLOUR, {}
    yield "enlarged.png", photograph(20, 31), COLOUR, {}
    yield "reduced.png", photograph(700, 500), COLOUR, {}
    yield "tall.png", photograph(90, 400), COLOUR, {}
    yield "moving.gif", small.quantize(60), COLOUR, {}
    yield "lossless.webp", small, COLOUR, {"lossless": True}
    yield "plain.bmp", small, COLOUR, {}


def deep_png(values: np.ndarray[Any, np.dtype[np.uint16]], colour: int) -> bytes:
    """Give a PNG of 16 bits, of which Pillow writes gray ones alone."""
    height, width = values.shape[:2]
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def test_every_kind_of_image_gives_the_pixels_of_predict(
    read_in_browser: Callable[..., list[str]], tmp_path: Path
) -> None:
    cases = []
    for name, image, shape, options in kinds():
        image.save(tmp_path / name, **options)
        cases.append((name, shape))
    values = np.asarray(photograph(90, 70)).astype(np.uint16) * 190
    opacity = np.random.default_rng(2).integers(0, 2**16, (70, 90, 1)).astype(np.uint16)
    for colour, one in (
        (0, values[..., :1]),
        (2, values),
        (4, np.dstack([values[..., :1], opacity])),
        (6, np.dstack([values, opacity])),
    ):
        (tmp_path / f"deep-{colour}.png").write_bytes(deep_png(one, colour))
        cases.append((f"deep-{colour}.png", GRAY if colour == 0 else COLOUR))
    answers = read_in_browser(cases)
    different = {}
    for (name, shape), answer in zip(cases, answers, strict=True):
        expected = decode_image(tmp_path / name, shape, is_resized=True, ranges=RANGES)
        if base64.b64decode(answer) != expected.tobytes():
            different[name] = answer[:60]
    assert different == {}


def test_what_cannot_be_read_is_said(
    read_in_browser: Callable[..., list[str]], tmp_path: Path
) -> None:
    image = photograph(200, 150)
    image.save(tmp_path / "whole.jpg")
    image.save(tmp_path / "whole.png")
    image.save(tmp_path / "whole.webp")
    for kind in ("jpg", "png", "webp"):
        content = (tmp_path / f"whole.{kind}").read_bytes()
        (tmp_path / f"half.{kind}").write_bytes(content[: len(content) // 2])
    jpeg = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "no-tables.jpg").write_bytes(jpeg.replace(b"\xff\xdb", b"\xff\xef"))
    (tmp_path / "huge.png").write_bytes(
        deep_png(np.zeros((1, 1), np.uint16), 0).replace(
            struct.pack(">II", 1, 1), struct.pack(">II", 60_000, 60_000), 1
        )
    )
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "notes.png").write_bytes(b"these are notes")
    wanted = {
        "half.jpg": "cut off",
        "half.png": "cut off",
        "half.webp": "not an image of a known format",
        "no-tables.jpg": "damaged",
        "huge.png": "60,000 × 60,000 pixels",
        "empty.png": "0 bytes",
        "notes.png": "not an image of a known format",
    }
    answers = read_in_browser([(name, COLOUR) for name in wanted])
    for (name, words), answer in zip(wanted.items(), answers, strict=True):
        assert answer.startswith("Error: The image"), name
        assert words in answer, name
        with pytest.raises(UnreadableImageError):
            decode_image(tmp_path / name, COLOUR, is_resized=True)


@pytest.mark.photos
def test_photographs_give_the_pixels_of_predict(
    read_in_browser: Callable[..., list[str]], photos_path: Path, tmp_path: Path
) -> None:
    photographs = sorted((photos_path / "test").rglob("*.jpg"))[::4]
    assert len(photographs) == 20
    cases = []
    for number, path in enumerate(photographs):
        shutil.copy(path, tmp_path / f"{number}.jpg")
        cases.append((f"{number}.jpg", (160, 160, 3)))
    for (name, shape), answer in zip(cases, read_in_browser(cases), strict=True):
        expected = decode_image(tmp_path / name, shape, is_resized=True)
        assert base64.b64decode(answer) == expected.tobytes(), name
