from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, features

from tenfold.data.images import formats as image_formats
from tenfold.data.images.decoding import decode_image, quiet_pillow, read_header
from tenfold.data.images.formats import UnreadableImageError, recognise, why_not_read
from tenfold.data.sources.folder_files import is_image_name


def media(*brands: bytes) -> bytes:
    """Give the beginning of an ISO media file."""
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands)
    return (4 + len(body)).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("head", "suffix", "kind", "remedy"),
    [
        (media(b"heic", b"mif1"), ".heic", "HEIF", ""),
        (media(b"mif1", b"avif"), ".avif", "AVIF", ""),
        (media(b"crx "), ".cr3", "RAW", "develop it"),
        (media(b"isom", b"mp42"), ".jpg", "video", "frames"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", ".jxl", "JPEG XL", "convert it"),
        (b"\xff\x0a" + bytes(9), ".jxl", "JPEG XL", "convert it"),
        (b"II*\0\x10\0\0\0CR\2\0", "", "RAW", "develop it"),
        (b"II*\0\x08\0\0\0", ".NEF", "RAW", "develop it"),
        (b"II*\0\x08\0\0\0", ".tif", "TIFF", ""),
        (b"FUJIFILMCCD-RAW 0201", ".raf", "RAW", "develop it"),
        (b"8BPS\0\1", ".psd", "PSD", "save it as PNG"),
        (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="x">', ".svg", "SVG", "convert it"),
        (bytes(128) + b"DICM", ".dcm", "DICOM", "convert it"),
        (b"<!DOCTYPE html><html>", ".jpg", "web page", "download the file again"),
        (b"version https://git-lfs.github.com/spec/v1\n", ".png", "Git LFS", "git lfs pull"),
        (b"%PDF-1.7", ".png", "PDF", "convert it"),
        (b"qoif", ".qoi", "QOI", "convert it"),
        (b"<!-- --> " * 100, ".svg", "", "not an image"),
        (b"hello", ".png", "", "not an image"),
        (b"", ".png", "", "empty"),
    ],
)
def test_every_kind_is_named_with_what_to_do(
    head: bytes, suffix: str, kind: str, remedy: str
) -> None:
    assert recognise(head, suffix) == kind
    reason = why_not_read(kind)
    if remedy:
        assert reason is not None
        assert remedy in reason


@pytest.mark.parametrize("name", ["a.HEIC", "a.avif", "a.jxl", "a.dng", "a.NEF", "a.psd", "a.dcm"])
def test_files_that_should_be_images_are_not_passed_over(name: str) -> None:
    assert is_image_name(name)


def test_heic_without_its_package_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_formats, "find_spec", lambda _: None)
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(media(b"heic", b"mif1"))
    with pytest.raises(
        UnreadableImageError, match=r"iPhones write it: pip install 'tenfold\[heif]"
    ):
        read_header(path)


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_photographs_of_phones_are_read(kind: str, tmp_path: Path) -> None:
    content = io.BytesIO()
    image = Image.new("RGB", (64, 48), (200, 30, 30))
    if kind == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.from_pillow(image).save(content, quality=95)
    else:
        if not features.check("avif"):
            pytest.skip("needs a Pillow with AVIF")
        image.save(content, "AVIF", quality=95)
    path = tmp_path / "photograph.jpg"  # A name says nothing.
    path.write_bytes(content.getvalue())
    with quiet_pillow():
        header = read_header(path)
        assert (header.height, header.width, header.is_gray) == (48, 64, False)
        whole = decode_image(path, (48, 64, 3), is_resized=False)
        small = decode_image(io.BytesIO(content.getvalue()), (8, 8, 3), is_resized=True)
    for pixels in (whole, small):
        assert abs(pixels.astype(int) - (200, 30, 30)).max() <= 6


def test_a_raw_photographs_thumbnail_is_not_taken_for_it(tmp_path: Path) -> None:
    from builders.hostile_images import gray_tiff, tiff_after, tiff_file

    for tag, entry in ((50706, (1, 4, 0x0401)), (330, (4, 1, 8))):
        entries = gray_tiff(8, 8, t254=(4, 1, 1), t273=(4, 1, 0), t278=(4, 1, 8), t279=(4, 1, 64))
        entries[tag] = entry
        entries[273] = (4, 1, tiff_after(len(entries)))
        path = tmp_path / "a.tif"
        path.write_bytes(tiff_file(entries, bytes(64)))
        with pytest.raises(UnreadableImageError, match="raw photograph"):
            read_header(path)
