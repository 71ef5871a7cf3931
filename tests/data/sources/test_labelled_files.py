"""Wherever decoded pixels go, the data set and the run folder are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset, read_split, write_split
from tenfold.data.sources import pixel_rows
from tenfold.data.sources.folder import SOURCE
from tenfold.data.sources.source import SourceOptions
from tenfold.data.store import StoredImages, in_memory

Tree = Callable[..., Path]


def _picture(seed: int) -> Image.Image:
    generator = np.random.default_rng(seed)
    height, width = generator.integers(40, 90, 2).tolist()
    pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def photographs(image_tree: Tree) -> Path:
    files: dict[str, object] = {
        f"{name}/{number}.png": _picture(10 * place + number)
        for place, name in enumerate(("cat", "dog"))
        for number in range(10)
    }
    copy = {"cat/copy.png": files["cat/0.png"], "dog/broken.png": b"\x89PNG\r\n\x1a\nno more"}
    return image_tree(files | copy)


def _load(root: Path, work: Path, **options: object) -> ImageDataset:
    told = SourceOptions(large_image_size_px=32, work_folder=work, **options)  # type: ignore[arg-type]
    return SOURCE.load(root, told, SilentProgress())


def test_pixels_in_memory_in_a_file_and_nowhere_are_the_same(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    kept = _load(photographs, work)
    assert not work.exists()
    monkeypatch.setattr(pixel_rows, "MOST_KEPT_BYTES", 0)
    spooled = _load(photographs, work)
    assert len(list(work.iterdir())) == 1
    monkeypatch.setattr(pixel_rows, "MOST_LAID_BYTES", 0)
    decoded = _load(photographs, work)
    for number, dataset in enumerate((kept, spooled, decoded)):
        folder = tmp_path / f"run-{number}"
        for name, split, wanted in (
            ("train", dataset.train, kept.train),
            ("test", dataset.test, kept.test),
        ):
            assert split.sha256() == wanted.sha256()
            write_split(folder, name, split)  # type: ignore[arg-type]
            again = read_split(folder, name)  # type: ignore[arg-type]
            assert again.sha256() == wanted.sha256()
            assert isinstance(again.images, StoredImages)
            assert isinstance(split.images, StoredImages)
            for rows in ([0, 3], [1]):
                for one, other in zip(
                    again.images.whole_pictures(rows),
                    split.images.whole_pictures(rows),
                    strict=True,
                ):
                    np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(again.images[[2, 0]], in_memory(wanted.images)[[2, 0]])
        assert [left.path for left in dataset.left_out] == [str(photographs / "dog/broken.png")]
    files = [{path.name for path in (tmp_path / f"run-{n}").iterdir()} for n in range(3)]
    assert files[0] == files[1] == files[2] | {"train_images.npy", "test_images.npy"}
    assert "train_pictures.arrow" in files[2]
    del kept, spooled, decoded, dataset, split
    assert not list(work.iterdir())


def test_small_images_of_one_size_have_no_pictures(image_tree: Tree, tmp_path: Path) -> None:
    tree = {f"{name}/{n}.png": (n, n, n + len(name)) for name in ("a", "bc") for n in range(6)}
    dataset = _load(image_tree(tree), tmp_path)
    assert isinstance(dataset.train.images, np.ndarray)
