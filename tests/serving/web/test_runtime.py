"""ONNX Runtime for browsers: given, cached, or refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tenfold.core.errors import ChecksumError, DataError
from tenfold.core.files import sha256_of_bytes
from tenfold.core.progress import SilentProgress
from tenfold.data.download import RemoteArchive
from tenfold.serving.web import runtime
from tenfold.serving.web.runtime import runtime_files

CONTENTS = {"a.mjs": b"script", "a.wasm": b"machine code"}


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {
        name: RemoteArchive(f"cached-{name}", sha256_of_bytes(content), len(content), ())
        for name, content in CONTENTS.items()
    }
    monkeypatch.setattr(runtime, "FILES", files)
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


def package(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def test_a_package_packed_or_unpacked(tmp_path: Path) -> None:
    packed = package(tmp_path / "p.tgz", CONTENTS | {"other.js": b"large"})
    assert runtime_files(packed, SilentProgress()) == CONTENTS
    with tarfile.open(packed) as file:
        file.extractall(tmp_path, filter="data")
    for folder in (tmp_path, tmp_path / "package", tmp_path / "package" / "dist"):
        assert runtime_files(folder, SilentProgress()) == CONTENTS


@pytest.mark.parametrize(
    ("contents", "error", "words"),
    [
        (CONTENTS | {"a.wasm": b"another version"}, ChecksumError, r"a\.wasm .* another version"),
        ({"a.mjs": b"script"}, DataError, "lacks files of that package"),
    ],
)
def test_another_package_is_refused(
    tmp_path: Path, contents: dict[str, bytes], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"{words}.*npm pack onnxruntime-web@{runtime.VERSION}"):
        runtime_files(package(tmp_path / "p.tgz", contents), SilentProgress())


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.tgz").write_bytes(b"notes")
    for place in (tmp_path / "notes.tgz", tmp_path / "nothing", tmp_path):
        with pytest.raises(DataError, match="is not npm's package onnxruntime-web"):
            runtime_files(place, SilentProgress())


def test_the_cache_is_used_and_checked(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    for name, content in CONTENTS.items():
        (tmp_path / "cache" / f"cached-{name}").write_bytes(content)
    assert runtime_files(None, SilentProgress()) == CONTENTS
    (tmp_path / "cache" / "cached-a.mjs").write_bytes(b"scripts")
    with pytest.raises(ChecksumError, match="Delete it"):
        runtime_files(None, SilentProgress())
