from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tenfold.data.images.decoding import decode_image, quiet_pillow, read_header
from tenfold.data.images.formats import DecodingLimits, TooManyPixelsError, UnreadableImageError
from tenfold.data.images.pillow import resize_to_cover


def _decode(path: Path, channels: int = 3) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with quiet_pillow():
        header = read_header(path)
        return decode_image(path, (header.height, header.width, channels), is_resized=False)


def _saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_colours_come_out_as_they_are(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = _saved(Image.fromarray(pixels), tmp_path / "a.png")
    assert np.array_equal(_decode(path), pixels)
    header = read_header(path)
    assert (header.height, header.width, header.is_gray) == (5, 7, False)


def test_a_file_is_read_by_its_content_not_its_name(tmp_path: Path) -> None:
    path = _saved(Image.new("RGB", (2, 2), "red"), tmp_path / "a.jpg", format="PNG")
    assert (_decode(path) == (255, 0, 0)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _saved(Image.fromarray(pixels), tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    assert np.array_equal(_decode(path, 1)[..., 0], expected)


def test_a_damaged_exif_block_does_not_cost_the_image(tmp_path: Path) -> None:
    path = _saved(
        Image.new("RGB", (4, 4), "red"), tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"
    )
    assert _decode(path)[0, 0, 0] > 250


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    rgba = _saved(Image.new("RGBA", (2, 2), (255, 0, 0, 0)), tmp_path / "a.png")
    assert (_decode(rgba) == 255).all()
    half = _saved(Image.new("LA", (2, 2), (0, 128)), tmp_path / "b.png")
    assert read_header(half).is_gray
    assert np.abs(_decode(half, 1).astype(int) - 127).max() <= 1
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    path = _saved(palette, tmp_path / "c.png", transparency=1)
    assert (_decode(path) == 255).all()


def test_palettes_give_their_colours_and_may_be_gray(tmp_path: Path) -> None:
    colour, gray = Image.new("P", (2, 2), 1), Image.new("P", (2, 2), 1)
    colour.putpalette([0, 0, 0, 255, 128, 0])
    gray.putpalette([0, 0, 0, 90, 90, 90])
    assert (_decode(_saved(colour, tmp_path / "a.gif")) == (255, 128, 0)).all()
    path = _saved(gray, tmp_path / "b.png")
    assert read_header(path).is_gray
    assert (_decode(path, 1) == 90).all()


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    for name in ("a.png", "a.tif"):
        path = _saved(Image.fromarray(values), tmp_path / name)
        assert read_header(path).is_gray
        assert _decode(path, 1).ravel().tolist() == [0, 1, 128, 255]


def test_black_and_white_and_cmyk_are_understood(tmp_path: Path) -> None:
    bits = _saved(Image.new("1", (2, 2), 1), tmp_path / "a.png")
    assert read_header(bits).is_gray
    assert (_decode(bits, 1) == 255).all()
    cmyk = _saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "b.jpg", quality=100)
    assert np.abs(_decode(cmyk).astype(int) - (255, 0, 0)).max() <= 3


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for name in ("a.gif", "a.png", "a.webp"):
        path = _saved(frames[0], tmp_path / name, save_all=True, append_images=frames[1:])
        red, _, blue = _decode(path)[0, 0].tolist()
        assert red > 240
        assert blue < 15


@pytest.mark.parametrize("size", [(641, 479), (399, 533), (1003, 1001)], ids=str)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_of_reduced_size_shows_what_the_whole_one_shows(
    size: tuple[int, int], orientation: int, tmp_path: Path
) -> None:
    # Waves of every direction: half a pixel's shift would be seen.
    down, across = np.indices((size[1], size[0])) / min(size) * 50
    waves = np.sin(np.stack([down, across, down + across], axis=-1)) * 90 + 128
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene = Image.fromarray(waves.astype(np.uint8))
    scene.save(tmp_path / "a.jpg", quality=95, subsampling=0, exif=exif)
    turned = scene.transpose(Image.Transpose.ROTATE_270) if orientation == 6 else scene
    for side in (100, 60):
        expected = np.asarray(resize_to_cover(turned, side, side)).astype(float)
        pixels = decode_image(tmp_path / "a.jpg", (side, side, 3), is_resized=True)
        assert np.abs(pixels - expected).mean() < 1


def test_gray_in_colour_and_large_images_made_small(tmp_path: Path) -> None:
    path = _saved(Image.new("L", (640, 480), 77), tmp_path / "a.jpg", quality=95)
    small = decode_image(path, (32, 32, 3), is_resized=True)
    assert small.shape == (32, 32, 3)
    assert np.abs(small.astype(int) - 77).max() <= 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image of a known format"),
        (b"not an image", "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS is not read: convert it"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "."),
    ],
)
def test_other_content_gives_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=reason):
        _decode(path)


def test_more_pixels_than_the_limit_give_a_reason_without_their_number(tmp_path: Path) -> None:
    path = _saved(Image.new("1", (100, 100)), tmp_path / "a.png")
    limits = DecodingLimits(pixels=9_000)
    for function in (
        lambda: read_header(path, limits),
        lambda: decode_image(path, (8, 8, 1), is_resized=True, limits=limits),
    ):
        with quiet_pillow(), pytest.raises(TooManyPixelsError, match=r"more than 0\.009 million"):
            function()


def test_more_pixels_than_pillows_own_limit_are_read(tmp_path: Path) -> None:
    path = _saved(Image.new("1", (20_000, 10_000)), tmp_path / "a.png")
    with quiet_pillow():
        assert read_header(path).width == 20_000


def test_fractions_and_long_numbers_give_a_reason(tmp_path: Path) -> None:
    fractions = _saved(Image.new("F", (2, 2), 0.5), tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match="fractions of unknown range"):
        _decode(fractions, 1)
    numbers = _saved(Image.new("I", (2, 2), 70_000), tmp_path / "b.tif")
    with pytest.raises(UnreadableImageError, match="more than 16 bits"):
        _decode(numbers, 1)


def test_a_missing_or_forbidden_file_gives_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(UnreadableImageError, match="No such file"):
        _decode(tmp_path / "link.png")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UnreadableImageError, match="Permission denied"):
        _decode(tmp_path / "link.png")


_SAMPLES: dict[str, bytes] = {}
for _format in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
    _buffer = io.BytesIO()
    _noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(_noise).save(_buffer, _format)
    _SAMPLES[_format] = _buffer.getvalue()


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_files_give_pixels_or_a_reason(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(_SAMPLES[data.draw(st.sampled_from(sorted(_SAMPLES)))])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    try:
        pixels = _decode(path)
    except UnreadableImageError:
        return
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_a_truncated_file_is_not_taken_for_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(_SAMPLES[kind][: len(_SAMPLES[kind]) // 2])
    with pytest.raises(UnreadableImageError):
        _decode(path)
