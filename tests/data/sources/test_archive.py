"""Archives of folders: the same data as the folder gives, at no more cost than an archive's own."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.archive import SOURCE, open_archive
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.source import SOURCES, SourceOptions

FORMATS = {"zip": "zip", "tar": "tar", "tar.gz": "gztar"}
Bounded = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def folder(image_tree: Callable[..., Path]) -> Path:
    return image_tree(
        {
            f"{split}/{name}/{number}.png": 10 * number + shade
            for split, count in (("Train", 9), ("TEST", 3))
            for shade, name in enumerate(("cat", "dög"))
            for number in range(count)
        }
    )


def _load(path: Path, **options: Any) -> ImageDataset:
    return SOURCE.load(path, SourceOptions(**options), SilentProgress())


def _pack(folder: Path, kind: str) -> Path:
    return Path(
        shutil.make_archive(str(folder.parent / "pets"), FORMATS[kind], folder.parent, folder.name)
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_an_archive_gives_what_its_folder_gives(folder: Path, kind: str) -> None:
    path = _pack(folder, kind)
    assert find_source(str(path))[0] is SOURCE
    packed = _load(path)
    plain = SOURCES["folder"].load(folder, SourceOptions(), SilentProgress())
    assert packed.classes == plain.classes == ("cat", "dög")
    assert packed.train.sha256() == plain.train.sha256()
    assert packed.test.sha256() == plain.test.sha256()
    assert packed.title == "pets"
    assert "Train/ for training (18 images), TEST/ for testing (6 images)" in packed.split_note


def _zip(path: Path, members: dict[str | zipfile.ZipInfo, bytes], packing: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def images(folder: Path) -> dict[str, bytes]:
    """Give two classes of images by their names."""
    below = folder / "Train"
    files = sorted(below.rglob("*.png"))
    return {file.relative_to(below).as_posix(): file.read_bytes() for file in files}


def _refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        _load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_names_that_lead_out_and_links_are_left_out(
    tmp_path: Path, images: dict[str, bytes], packing: int
) -> None:
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = 0o120777 << 16
    pipe = zipfile.ZipInfo("cat/pipe.png")
    pipe.external_attr = 0o010777 << 16
    bad: dict[str | zipfile.ZipInfo, bytes] = {
        "../cat/out.png": b"1",
        "/etc/cat/1.png": b"1",
        "C:\\cat\\1.png": b"1",
        f"{'a/' * 70}1.png": b"1",
        link: b"/etc/passwd",
        pipe: b"",
        "__MACOSX/cat/._1.png": b"1",
        "cat/.hidden.png": b"1",
    }
    dataset = _load(_zip(tmp_path / "a.zip", {**images, **bad}, packing))
    reasons = [image.reason for image in dataset.left_out]
    assert len(reasons) == 6
    assert reasons.count("its name leads out of the archive") == 3
    assert len(dataset.train) + len(dataset.test) == len(images)


def test_links_and_devices_in_a_tar_are_left_out(tmp_path: Path, images: dict[str, bytes]) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, content in {**images, "../cat/x.png": b"1"}.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"cat/{kind.decode()}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    dataset = _load(path)
    assert len(dataset.left_out) == 5
    assert len(dataset.train) + len(dataset.test) == len(images)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_two_files_of_one_name_are_refused(
    tmp_path: Path, images: dict[str, bytes], kind: str
) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in [*images, "cat/1.png"]:
                archive.writestr(name, images[name])
    else:
        with tarfile.open(path, "w") as tar:
            for name in [*images, "cat/1.png"]:
                member = tarfile.TarInfo(name)
                member.size = len(images[name])
                tar.addfile(member, io.BytesIO(images[name]))
    assert "several files of one name: cat/1.png" in _refusal(path)


def test_encrypted_images_alone_are_explained(tmp_path: Path, images: dict[str, bytes]) -> None:
    path = _zip(tmp_path / "a.zip", dict(images))
    content = bytearray(path.read_bytes())
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 8] |= 1
    path.write_bytes(content)
    assert f"{len(images)} × it is encrypted" in _refusal(path)


def test_a_damaged_member_is_left_out(tmp_path: Path, images: dict[str, bytes]) -> None:
    path = _zip(tmp_path / "a.zip", dict(images), zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    at = content.index(b"cat/2.png") + 20
    content[at : at + 9] = bytes(9)
    path.write_bytes(content)
    left_out = _load(path).left_out
    assert [Path(image.path).name for image in left_out] == ["2.png"]
    assert "damaged in the archive" in left_out[0].reason


def test_bombs_are_refused(tmp_path: Path, bounded: Bounded) -> None:
    names = {f"{label}/{n}.bmp": bytes(2**20) for label in "ab" for n in range(2)}
    path = _zip(tmp_path / "a.zip", dict(names), zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    # As large a size as the format has room for, in each line of the list.
    parts = content.split(b"PK\x01\x02")
    path.write_bytes(
        b"PK\x01\x02".join([parts[0], *(p[:20] + b"\0\0\0\x20" + p[24:] for p in parts[1:])])
    )
    with bounded(2**23):
        assert "far more than images do" in _refusal(path)
    # All members at one place.
    first = parts[1][:38]
    path.write_bytes(
        b"PK\x01\x02".join([parts[0], *(first[:38] + bytes(4) + p[42:] for p in parts[1:])])
    )
    with bounded(2**23):
        assert "lie on one another" in _refusal(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_cut_archive_is_refused(folder: Path, kind: str) -> None:
    path = _pack(folder, kind)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "cut off" in _refusal(path)


def test_an_archive_without_classes_says_what_is_expected(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {"1.png": b"1", "2.png": b"1"})
    assert "has no sub-folders. Expected a folder with one sub-folder" in _refusal(path)
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04" + bytes(400))
    assert "is not a whole ZIP archive" in _refusal(tmp_path / "b.zip")


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), kind=st.sampled_from(sorted(FORMATS)))
def test_any_damage_gives_a_data_set_or_a_data_error(
    folder: Path, data: st.DataObject, kind: str
) -> None:
    path = _pack(folder, kind)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        archive = open_archive(path)
    except DataError:
        return
    for number in range(len(archive.names)):
        with contextlib.suppress(OSError):
            archive.read(number)


def test_a_gzip_is_read_at_any_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    from tenfold.data import random_access

    monkeypatch.setattr(random_access, "_LEAST_BLOCK_BYTES", 1000)
    monkeypatch.setattr(random_access, "_CHUNK_BYTES", 100)
    rng = np.random.default_rng(0)
    content = rng.integers(0, 9, 50_000, np.uint8).tobytes()
    path = tmp_path / "a.gz"
    # Several members, as tools that pack in parallel write, one ending where a block does.
    parts = [content[:3000], content[3000:30_001], content[30_001:]]
    path.write_bytes(b"".join(map(gzip.compress, parts)) + bytes(1000))
    source = random_access.GzipBytes(path, 10**6)
    for _ in range(200):
        offset, size = rng.integers(0, 52_000), rng.integers(0, 4000)
        assert source.read_at(int(offset), int(size)) == content[offset : offset + size]
    with pytest.raises(OSError, match="more than 40,000 bytes"):
        random_access.GzipBytes(path, 40_000).read_at(49_000, 10)


def test_a_changed_archive_has_another_fingerprint(folder: Path) -> None:
    path = _pack(folder, "zip")
    before = SOURCE.fingerprint(path)
    os.utime(path, ns=(1, 1))
    assert SOURCE.fingerprint(path) != before
