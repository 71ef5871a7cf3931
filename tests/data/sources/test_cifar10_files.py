from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError, UnsafePickleError
from tenfold.core.progress import SilentProgress
from tenfold.data.sources.cifar10_files import looks_like_archive, read_archive
from tenfold.data.sources.cifar10_formats import Cifar10Arrays

RECORDS = 7
TarGz = Callable[[dict[str, bytes], str], bytes]


def _read(path: Path) -> tuple[Cifar10Arrays, tuple[str, ...]]:
    arrays = Cifar10Arrays(RECORDS)
    return arrays, read_archive(path, arrays, SilentProgress())


@pytest.mark.parametrize("version", ["binary", "python"])
def test_members_in_any_order_and_folder_fill_their_slots(
    tiny_cifar10: Any, tar_gz: TarGz, tmp_path: Path, version: str
) -> None:
    files = getattr(tiny_cifar10, f"{version}_files")()
    path = tmp_path / "some.tar.gz"
    path.write_bytes(tar_gz(dict(reversed(files.items())), "any/folder"))
    arrays, notes = _read(path)
    train, test = arrays.splits()
    assert notes == ()
    assert np.array_equal(
        np.concatenate([train.images, test.images]), tiny_cifar10.expected_images()
    )
    assert (
        np.concatenate([train.labels, test.labels]).tolist() == tiny_cifar10.labels.ravel().tolist()
    )
    assert list(tmp_path.iterdir()) == [path]  # Nothing was unpacked.


def test_other_members_are_skipped_whatever_they_are_called(
    tiny_cifar10: Any, tar_gz: TarGz, tmp_path: Path
) -> None:
    files = {
        "../../outside": b"x",
        "/etc/passwd": b"x",
        "readme.html": b"",
        **tiny_cifar10.binary_files(),
    }
    del files["batches.meta.txt"]
    path = tmp_path / "inner" / "a.tar.gz"
    path.parent.mkdir()
    path.write_bytes(tar_gz(files, ""))
    _, notes = _read(path)
    assert notes == (
        "batches.meta.txt is missing: the standard class names were taken.",
        "2 other files in the archive were skipped.",
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["inner"]


def test_a_missing_batch_is_named(tiny_cifar10: Any, tar_gz: TarGz, tmp_path: Path) -> None:
    files = tiny_cifar10.binary_files()
    del files["data_batch_2.bin"], files["test_batch.bin"]
    path = tmp_path / "a.tar.gz"
    path.write_bytes(tar_gz(files, "x"))
    with pytest.raises(DataError, match=r"lacks data_batch_2\.bin, test_batch\.bin"):
        _read(path)


def test_an_archive_of_something_else_says_what_is_in_it(tar_gz: TarGz, tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-x.tar.gz"
    path.write_bytes(tar_gz({"train": b"", "meta": b""}, "cifar-100-python"))
    with pytest.raises(DataError, match=r"no file of CIFAR-10; it holds cifar-100-python/train"):
        _read(path)


def _with_member(content: bytes, member: tarfile.TarInfo, data: bytes = b"") -> bytes:
    buffer = io.BytesIO(gzip.decompress(content))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        archive.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue())


def test_links_and_doubles_and_mixtures_are_refused(
    tiny_cifar10: Any, tar_gz: TarGz, tmp_path: Path
) -> None:
    files = tiny_cifar10.binary_files()
    last = files.pop("test_batch.bin")
    content = tar_gz(files, "x")
    path = tmp_path / "a.tar.gz"
    link = tarfile.TarInfo("x/test_batch.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path.write_bytes(_with_member(content, link))
    with pytest.raises(DataError, match=r"test_batch\.bin is a link"):
        _read(path)
    double = tarfile.TarInfo("y/data_batch_1.bin")
    double.size = len(last)
    path.write_bytes(_with_member(content, double, last))
    with pytest.raises(DataError, match=r"data_batch_1\.bin is there twice"):
        _read(path)
    path.write_bytes(_with_member(content, tarfile.TarInfo("x/test_batch")))
    with pytest.raises(DataError, match="mixes both versions"):
        _read(path)


def test_an_overlong_member_is_refused_by_its_size(
    tiny_cifar10: Any, tar_gz: TarGz, tmp_path: Path
) -> None:
    files = tiny_cifar10.binary_files()
    files["data_batch_1.bin"] += b"\0"
    path = tmp_path / "a.tar.gz"
    path.write_bytes(tar_gz(files, ""))
    with pytest.raises(DataError, match=r"member data_batch_1\.bin is too long by 1 bytes"):
        _read(path)


def test_a_bomb_is_refused(tar_gz: TarGz, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(tar_gz({"zeros": bytes(2**26)}, ""))
    with pytest.raises(DataError, match="unpacks to far more than CIFAR-10"):
        _read(path)


def test_a_malicious_member_is_refused(tiny_cifar10: Any, tar_gz: TarGz, tmp_path: Path) -> None:
    files = tiny_cifar10.python_files()
    mark = tmp_path / "was-run"
    files["data_batch_3"] = b"cos\nsystem\n(S'touch %s'\ntR." % str(mark).encode()
    path = tmp_path / "a.tar.gz"
    path.write_bytes(tar_gz(files, ""))
    with pytest.raises(UnsafePickleError, match=r"data_batch_3 asks for 'os\.system'"):
        _read(path)
    assert not mark.exists()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_truncated_or_changed_archive_is_never_taken_for_whole(
    tiny_cifar10: Any, tar_gz: TarGz, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(tar_gz(tiny_cifar10.binary_files(), "x"))
    place = data.draw(st.integers(10, len(content) - 1))  # After gzip's header with its time.
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tar\.gz"):
        _read(path)


def test_archives_are_recognised_by_name_or_content(
    tiny_cifar10: Any, tar_gz: TarGz, tmp_path: Path
) -> None:
    named = tmp_path / "cifar-10-python.tar.gz"
    named.write_bytes(b"broken")
    inside = tmp_path / "mine.tgz"
    inside.write_bytes(tar_gz(tiny_cifar10.binary_files(), "x"))
    other = tmp_path / "other.tar.gz"
    other.write_bytes(tar_gz({"a.txt": b"a"}, ""))
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(b"broken")
    assert looks_like_archive(named)
    assert looks_like_archive(inside)
    assert not looks_like_archive(other)
    assert not looks_like_archive(broken)
    assert not looks_like_archive(tmp_path)
