"""Arrays that are too many for the memory give the data set that they would give in memory."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources import large_arrays
from tenfold.data.sources.idx import SOURCE as IDX
from tenfold.data.sources.npz import SOURCE as NPZ
from tenfold.data.sources.source import Source, SourceOptions
from tenfold.data.store import StoredImages


def images(count: int, *shape: int) -> Any:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


def labels(count: int) -> Any:
    return (np.arange(count) % 2).astype(np.uint8)


def npz(folder: Path, save: Callable[..., None], *shape: int, roles: tuple[str, ...]) -> Path:
    arrays = {}
    for place, role in enumerate(roles):
        arrays[f"{role}_images"] = images(20 + place, *shape)
        arrays[f"{role}_labels"] = labels(20 + place)
    save(folder / "images.npz", **arrays)
    return folder / "images.npz"


def idx(folder: Path, prefix: str, *, is_packed: bool, cut: int = 0) -> Path:
    for split in ("train", "t10k"):
        for kind, array in (("images", images(20, 6, 6)), ("labels", labels(20))):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            content = header + array.tobytes()
            content = content[: len(content) - cut] if kind == "images" else content
            file = folder / f"{prefix}{split}-{kind}-idx{array.ndim}-ubyte"
            if is_packed:
                file.with_name(file.name + ".gz").write_bytes(gzip.compress(content))
            else:
                file.write_bytes(content)
    return folder


def loaded(source: Source, path: Path, **options: Any) -> ImageDataset:
    return source.load(path, SourceOptions(**options), SilentProgress())


def assert_same_in_a_file(
    source: Source, path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> None:
    in_memory = loaded(source, path)
    monkeypatch.setattr(large_arrays, "MOST_KEPT_BYTES", 0)
    monkeypatch.setattr(large_arrays, "CHUNK_BYTES", 100)
    in_file = loaded(source, path, **options)
    for one, other in ((in_memory.train, in_file.train), (in_memory.test, in_file.test)):
        assert isinstance(other.images, StoredImages)
        assert one.sha256() == other.sha256()
    assert in_file.classes == in_memory.classes
    if in_memory.is_validation is not None:
        assert in_file.is_validation is not None
        assert in_file.is_validation.tolist() == in_memory.is_validation.tolist()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("roles", [("train", "val", "test"), ("train",)])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_npz(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    save: Callable[..., None],
    roles: tuple[str, ...],
    shape: tuple[int, ...],
) -> None:
    path = npz(tmp_path, save, *shape, roles=roles)
    assert_same_in_a_file(NPZ, path, monkeypatch, work_folder=tmp_path / "work")


def test_a_damaged_npz_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path, np.savez, 5, 7, roles=("train",))
    content = bytearray(path.read_bytes())
    content[200] ^= 1  # of a pixel
    path.write_bytes(content)
    monkeypatch.setattr(large_arrays, "MOST_KEPT_BYTES", 0)
    with pytest.raises(DataError, match=r"images\.npz is not a whole \.npz file"):
        loaded(NPZ, path)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("prefix", ["", "emnist-letters-"])
def test_idx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_packed: bool, prefix: str) -> None:
    path = idx(tmp_path, prefix, is_packed=is_packed)
    assert_same_in_a_file(IDX, path, monkeypatch, work_folder=tmp_path / "work")


@pytest.mark.parametrize(("is_packed", "cut"), [(False, 3), (True, 3)])
def test_a_cut_idx_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_packed: bool, cut: int
) -> None:
    path = idx(tmp_path, "", is_packed=is_packed, cut=cut)
    monkeypatch.setattr(large_arrays, "MOST_KEPT_BYTES", 0)
    with pytest.raises(DataError, match="cut off: 3 bytes are missing"):
        loaded(IDX, path)
