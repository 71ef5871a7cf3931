"""What may cost much is decoded where it can be ended, and costs this process nothing."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builders.hostile_images import (
    HOSTILE,
    exif_of_copies,
    gif_beyond_its_canvas,
    jpeg_file,
    jpeg_of_scans,
    png_of_data_chunks,
)
from tenfold.core.progress import SilentProgress
from tenfold.core.records.data import ValueRanges
from tenfold.data.images import worker as decoding_worker
from tenfold.data.images.decoding import decode_image, quiet_pillow
from tenfold.data.images.formats import (
    DecodingLimits,
    NoMemoryNowError,
    SharedMemory,
    TooManyPixelsError,
    UnreadableImageError,
)
from tenfold.data.images.inspection import claims_little, inspect_file
from tenfold.data.images.pillow import OpenFile, pixels_of
from tenfold.data.images.processes import ENDED, PROCESSES, Job
from tenfold.data.images.reading import decode_files
from tenfold.data.images.stream import ImageFile, read_images

LIMITS = DecodingLimits(pixels=100_000_000, processor_seconds=10)


@pytest.fixture(autouse=True, scope="module")
def ended() -> Iterator[None]:
    yield
    PROCESSES.close()


def decode(content: bytes, limits: DecodingLimits = LIMITS, **options: Any) -> Any:
    with quiet_pillow():
        return decode_image(
            io.BytesIO(content), (8, 8, 3), is_resized=True, limits=limits, **options
        )


def as_tiff(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "TIFF", compression="tiff_lzw")
    return content.getvalue()


def test_ordinary_files_are_decoded_here() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    for kind, options in (
        ("PNG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"exif": Image.Exif()}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("PPM", {}),
    ):
        content = io.BytesIO()
        image.save(content, kind, **options)
        found = inspect_file(content)
        assert (found.kind, found.is_plain) == (kind, True), kind
        assert (found.width, found.height) == (50, 40)


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_files_give_pixels_or_a_reason_elsewhere(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = HOSTILE[name]
    assert not inspect_file(io.BytesIO(content)).is_plain

    def never(*_: object) -> None:
        raise AssertionError("decoded in this process")

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "load", never)
        with suppress(UnreadableImageError):
            assert decode(content).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (jpeg_of_scans(2000, 64), "hundreds of scans"),
        (gif_beyond_its_canvas(), "million pixels"),
    ],
)
def test_some_are_refused_without_being_opened(
    content: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PROCESSES, "pixels", None)
    with pytest.raises(UnreadableImageError, match=reason):
        decode(content)


def test_a_parser_is_not_given_exif_that_it_would_copy_again_and_again() -> None:
    hostile = exif_of_copies(65_000, 5_000)
    assert not claims_little(hostile)
    block = b"Exif\0\0" + hostile
    content = jpeg_file()
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    assert not inspect_file(io.BytesIO(content[:2] + segment + content[2:])).is_plain
    honest = Image.Exif()
    honest[0x0112], honest[0x010E] = 6, "A long description " * 100
    assert claims_little(honest.tobytes())


@pytest.mark.slow
def test_the_processor_time_is_limited_and_the_next_image_is_read() -> None:
    content = png_of_data_chunks(2_000_000)
    with pytest.raises(UnreadableImageError, match="too much time or memory"):
        decode(content, DecodingLimits(processor_seconds=1))
    assert decode(as_tiff(Image.new("RGB", (9, 9), "red"))).mean() == 85


def test_the_memory_is_limited_by_the_system() -> None:
    # One tile of gigabytes: the header says 64 × 64 pixels.
    with pytest.raises(UnreadableImageError):
        decode(HOSTILE["a tile"])


def test_pixels_are_asked_before_they_are_unpacked() -> None:
    with pytest.raises(TooManyPixelsError):
        decode(as_tiff(Image.new("1", (400, 400))), DecodingLimits(pixels=1000))


def test_a_process_that_ends_is_a_reason_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    content = as_tiff(Image.new("RGB", (9, 9), "red"))
    decode(content)
    (process,) = PROCESSES._idle
    process.process.kill()
    process.process.wait()
    assert decode(content).shape == (8, 8, 3), "another was started"
    (process,) = PROCESSES._idle

    def kill(*_: object) -> bytes:
        process.process.kill()
        return b""

    monkeypatch.setattr(process, "_bytes", kill)
    with pytest.raises(UnreadableImageError, match=ENDED):
        decode(content)


def test_where_there_is_no_memory_now_the_process_lives_on() -> None:
    @contextmanager
    def none(_: int) -> Iterator[None]:
        raise NoMemoryNowError
        yield

    content = as_tiff(Image.new("RGB", (9, 9), "red"))
    decode(content)
    before = PROCESSES._idle[0].process.pid
    with pytest.raises(NoMemoryNowError):
        decode(content, hold=none)
    decode(content)
    assert PROCESSES._idle[0].process.pid == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that copy themselves")
def test_a_copied_process_starts_its_own() -> None:
    decode(as_tiff(Image.new("RGB", (9, 9), "red")))
    assert PROCESSES._idle
    started = PROCESSES._idle
    try:
        PROCESSES.forget()
        assert not PROCESSES._idle
    finally:
        PROCESSES._idle = started


def test_memory_is_shared_and_one_alone_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.data.images.formats.machine_memory", lambda: 2**30)
    memory, limits = SharedMemory(), DecodingLimits()
    is_held = Event()

    def hold() -> None:
        with memory.hold(2**28, limits):
            is_held.set()

    with memory.hold(2**28, limits):
        other = Thread(target=hold)
        other.start()
        assert not is_held.wait(0.1)
    other.join(10)
    assert is_held.is_set()
    with pytest.raises(UnreadableImageError, match="more memory"), memory.hold(2**30, limits):
        pass


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "AVIF"])
def test_pixels_are_the_same_in_a_process_and_in_this_one(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).resize((45, 35)).save(content, kind)

    def hold(_: int) -> Any:
        return nullcontext()

    options: dict[str, Any] = {"is_resized": True}
    with quiet_pillow():
        source = OpenFile(io.BytesIO(content.getvalue()), kind)
        here = pixels_of(source, (16, 16, 3), ValueRanges(), hold, most_pixels=9999, **options)
        job = Job(content.getvalue(), kind, LIMITS, hold)
        there = PROCESSES.pixels(job, (16, 16, 3), ValueRanges(), **options)
    assert np.array_equal(here, there)


def test_training_and_prediction_see_the_same_pixels_of_every_format(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (35, 45, 3), np.uint8)
    paths = []
    for kind in ("png", "jpg", "webp", "gif", "bmp", "ppm", "tif", "avif"):
        paths.append(tmp_path / f"a.{kind}")
        Image.fromarray(noise).save(paths[-1])
    trained = decode_files(paths, 16, SilentProgress(), is_strict=True)
    read = read_images(
        [ImageFile(str(path), io.BytesIO(path.read_bytes())) for path in paths],
        (16, 16, 3),
        ranges=trained.ranges,
    )
    for row, image in enumerate(read):
        assert image.pixels is not None, image.reason
        assert np.array_equal(trained.images[row], image.pixels)


def test_what_lies_in_the_present_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    PROCESSES.close()
    assert decode(as_tiff(Image.new("RGB", (9, 9), "red"))).shape == (8, 8, 3)


def test_a_process_that_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    PROCESSES.close()
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(UnreadableImageError, match="could not be started"):
        decode(as_tiff(Image.new("RGB", (9, 9), "red")))


def test_what_is_decoded_is_ended_when_nobody_waits_any_more() -> None:
    reasons: list[str] = []

    def ask() -> None:
        try:
            decode(png_of_data_chunks(1_500_000), DecodingLimits(processor_seconds=600))
        except UnreadableImageError as error:
            reasons.append(str(error))

    thread = Thread(target=ask)
    thread.start()
    while not PROCESSES._busy and thread.is_alive():
        thread.join(0.01)
    PROCESSES.close()
    thread.join(60)
    assert reasons == [ENDED]


def test_without_proc_images_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path) -> str:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "read_text", missing)
    decoding_worker._limit_memory(2**40)
