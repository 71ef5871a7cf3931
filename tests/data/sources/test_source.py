"""What every registered source must do."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.cifar10 import Cifar10Source
from tenfold.data.sources.cifar100 import Cifar100Source
from tenfold.data.sources.source import SOURCES, Source, SourceOptions


@pytest.fixture(params=SOURCES.names())
def source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


@pytest.fixture
def small(  # noqa: PLR0912 -- a case for each source
    source: Source,
    binary_folder: Path,
    tiny_cifar100: Any,
    image_tree: Callable[..., Path],
    tmp_path: Path,
) -> tuple[Source, Path | None]:
    """Give the source and a small data set for it."""
    images, labels = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8), np.arange(20)
    match source.name:
        case "cifar10":
            return Cifar10Source(records_per_batch=7), binary_folder
        case "cifar100":
            for name, content in tiny_cifar100.binary_files().items():
                (tmp_path / name).write_bytes(content)
            return Cifar100Source(tiny_cifar100.records), tmp_path
        case "folder":
            path = image_tree({f"{c}/{n}.png": n for c in ("a1", "b1") for n in range(9)})
        case "archive":
            folder = image_tree({f"{c}/{n}.png": n for c in ("a1", "b1") for n in range(9)})
            path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))
        case "parquet":
            path = tmp_path / "a.parquet"
            cells = [png(image) for image in images]
            table = pyarrow.table({"image": cells, "label": labels % 2})
            pyarrow.parquet.write_table(table, path)
        case "webdataset":
            path = tmp_path / "a.tar"
            with tarfile.open(path, "w") as archive:
                for number, image in enumerate(images):
                    files = {"png": png(image), "cls": b"%d" % (number % 2)}
                    for ending, content in files.items():
                        member = tarfile.TarInfo(f"{number:04}.{ending}")
                        member.size = len(content)
                        archive.addfile(member, io.BytesIO(content))
        case "npz":
            path = tmp_path / "a.npz"
            np.savez(path, images=images, labels=labels % 2)
        case "idx":
            path = tmp_path
            for name, array in (("images-idx3", images), ("labels-idx1", np.uint8(labels % 2))):
                start = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
                (tmp_path / f"train-{name}-ubyte").write_bytes(start + array.tobytes())
        case "table":
            path = image_tree({f"{n}.png": n for n in range(20)}) / "labels.csv"
            path.write_text("path,label\n" + "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(20)))
        case _:
            return source, None
    return source, path


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _load(small: tuple[Source, Path | None], seed: int = 0) -> ImageDataset:
    source, path = small
    return source.load(path, SourceOptions(seed=seed), SilentProgress())


def test_names_are_the_registry_s(source: Source) -> None:
    assert source is SOURCES[source.name]
    assert source.summary
    assert "\n" not in source.summary


def test_a_path_that_does_not_exist_is_not_recognised(source: Source, tmp_path: Path) -> None:
    assert not source.recognises(tmp_path / "missing")
    assert not source.recognises(tmp_path / ("long" * 100))


def test_the_data_set_is_sound(small: tuple[Source, Path | None]) -> None:
    dataset = _load(small)
    count = len(dataset.classes)
    assert dataset.source == small[0].name
    assert len(set(dataset.classes)) == count >= 2
    for split in (dataset.train, dataset.test):
        assert split.images.dtype == np.uint8
        assert split.images.shape[3] in (1, 3)
        assert len(split) > 0
        assert 0 <= split.labels.min() <= split.labels.max() < count
    for text in (dataset.title, dataset.description, dataset.location, dataset.split_note):
        assert text


def test_the_same_options_give_the_same_data(small: tuple[Source, Path | None]) -> None:
    first, second = _load(small, seed=3), _load(small, seed=3)
    assert first.train.sha256() == second.train.sha256()
    assert first.test.sha256() == second.test.sha256()


def test_the_fingerprint_is_stable(small: tuple[Source, Path | None]) -> None:
    source, path = small
    assert source.fingerprint(path) == source.fingerprint(path)
    assert len(source.fingerprint(path)) == 64
