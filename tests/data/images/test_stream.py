"""Files decoded ahead: the same pixels as the data set's, in order, and no file stops the rest."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.progress import SilentProgress
from tenfold.data.images import stream as image_stream
from tenfold.data.images.reading import decode_files
from tenfold.data.images.stream import ImageFile, ReadImage, read_images


def files_of(paths: list[Path]) -> list[ImageFile]:
    return [ImageFile(path.name, path) for path in paths]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Give 70 images of different sizes, modes and orientations."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(70):
        height, width = rng.integers(5, 60, 2)
        mode = ("RGB", "L", "RGBA", "P", "I;16", "1", "CMYK")[number % 7]
        if mode == "I;16":
            image = Image.fromarray(rng.integers(0, 2**16, (height, width), np.uint16))
        else:
            pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
            image = Image.fromarray(pixels).convert(mode)
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        path = tmp_path / f"{number}.{'tif' if mode in ('CMYK', '1') else 'png'}"
        image.save(path, exif=exif)
        found.append(path)
    return found


def test_pixels_are_those_of_the_data_set(paths: list[Path]) -> None:
    expected = decode_files(paths, 16, SilentProgress(), is_strict=True).images
    read = list(read_images(files_of(paths), (16, 16, 3), ahead=20))
    assert [one.name for one in read] == [path.name for path in paths]
    assert not any(one.reason for one in read)
    np.testing.assert_array_equal(np.stack([one.pixels for one in read]), expected)


def test_images_of_the_wanted_size_are_kept_as_they_are(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 5, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (read,) = read_images(files_of([tmp_path / "a.png"]), (9, 5, 3))
    np.testing.assert_array_equal(read.pixels, pixels)


def test_another_shape_than_square_is_covered_and_cut(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[10:30] = 255  # what a shape twice as wide as high keeps
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (read,) = read_images(files_of([tmp_path / "a.png"]), (5, 10, 3))
    assert read.pixels is not None
    assert read.pixels.shape == (5, 10, 3)
    assert read.pixels[1:4].min() > 200


def test_an_open_file_is_read(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("L", (3, 3), 77).save(content, "PNG")
    (read,) = read_images([ImageFile("-", io.BytesIO(content.getvalue()))], (3, 3, 1))
    assert (read.pixels == 77).all()


def test_what_cannot_be_read_has_a_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)).save(
        whole, "PNG"
    )
    (tmp_path / "cut.png").write_bytes(whole.getvalue()[:-2000])
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.gif").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    (tmp_path / "good.png").write_bytes(whole.getvalue())
    names = {
        "cut.png": "truncated",
        "text.jpg": "not an image of a known format, or empty",
        "empty.gif": "not an image of a known format, or empty",
        "folder.png": "not a file",
        "loop.png": "no such file",
        "missing.png": "no such file",
        "bomb.png": "more than 250 million pixels: raise the limit with --max-megapixels",
        "nul\0.png": "",
    }
    files = [ImageFile(name, tmp_path / name) for name in [*names, "good.png"]]
    read = list(read_images(files, (8, 8, 3)))
    for one in read[:-1]:
        assert one.pixels is None, one.name
        assert one.reason
        assert names[one.name] in one.reason
    assert read[-1].pixels is not None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (read,) = read_images(files_of([tmp_path / "pipe.png"]), (8, 8, 3))
    assert read.reason == "not a file"


def test_no_more_than_asked_is_decoded_ahead(paths: list[Path]) -> None:
    asked: list[int] = []
    before = set(threading.enumerate())

    def endless() -> Iterator[ImageFile]:
        for number in range(100_000):
            asked.append(number)
            yield ImageFile(str(number), paths[0])

    stream = read_images(endless(), (8, 8, 3), ahead=64)
    for _ in range(40):
        next(stream)
    assert len(asked) <= 40 + 64 + 16 * 9
    stream.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) <= before


def test_what_was_not_begun_never_begins_after_an_end(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    goes_on = threading.Event()

    def read(file: ImageFile, *_: object) -> ReadImage:
        begun.append(file.name)
        if file.name != "first":
            goes_on.wait(30)
        return ReadImage(file.name, None)

    monkeypatch.setattr(image_stream, "_read", read)
    monkeypatch.setattr("tenfold.data.images.decoding.available_cores", lambda: 1)
    files = [ImageFile("first" if n < 16 else str(n), paths[0]) for n in range(48)]
    reading = read_images(files, (8, 8, 3))
    next(reading)
    threading.Timer(0.3, goes_on.set).start()
    reading.close()
    assert len(begun) <= 17
