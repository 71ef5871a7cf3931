"""A look at a data set before it is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.progress import SilentProgress
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.look import LOOKED_AT, DataLook, look_at
from tenfold.data.sources.source import SourceOptions


def looked_at(path: Path, **options: object) -> DataLook:
    source, place, _ = find_source(str(path))
    look = look_at(source, place, SourceOptions(**options), SilentProgress())  # type: ignore[arg-type]
    assert look is not None
    return look


def write(path: Path, size: tuple[int, int], mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)


def test_a_folder_without_a_test_split_trains_on_what_is_left(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / "cat" / f"{number}.png", (300, 200))
        write(tmp_path / "dog" / f"{number}.png", (100 + number, 400))
    look = looked_at(tmp_path, test_fraction=0.2)
    assert look.train_counts == (8, 8)
    assert (look.train_count, look.examples_per_class) == (16, 8)
    assert look.shorter_side_px == 109
    assert not look.is_gray


def test_own_test_images_are_not_counted(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 5)):
        for number in range(count):
            for name in ("cat", "dog"):
                write(tmp_path / split / name / f"{number}.png", (20, 20), "L")
    look = looked_at(tmp_path)
    assert look.train_counts == (3, 3)
    assert look.is_gray


def test_small_classes_are_looked_at_too(tmp_path: Path) -> None:
    """One class of large images hides behind one of many small ones."""
    for number in range(LOOKED_AT + 50):
        write(tmp_path / "small" / f"{number}.png", (8, 8))
    for number in range(4):
        write(tmp_path / "large" / f"{number}.png", (90, 90))
    look = looked_at(tmp_path)
    assert len(look.sizes) == LOOKED_AT
    assert look.sizes.count((90, 90)) == 4


def test_an_image_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "cat" / f"{number}.png", (30, 40))
        write(tmp_path / "dog" / f"{number}.png", (30, 40))
    (tmp_path / "cat" / "0.png").write_bytes(b"no image")
    assert looked_at(tmp_path).sizes == ((40, 30),) * 5


def test_a_table_s_columns_are_those_asked_for(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "all" / f"{number}.png", (50, 60))
    rows = [f"all/{number}.png,{'ab'[number % 2]},{'xy'[number // 2]}" for number in range(4)]
    (tmp_path / "t.csv").write_text("\n".join(["file,first,second", *rows]))
    look = looked_at(tmp_path / "t.csv", label_column="second", test_fraction=0.5)
    assert look.train_counts == (1, 1)
    assert look.shorter_side_px == 50


def test_arrays_are_read_once(tmp_path: Path) -> None:
    images = np.zeros((10, 12, 14, 1), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(10) % 2)
    look = looked_at(tmp_path / "a.npz")
    assert (look.sizes, look.is_gray) == (((12, 14),), True)
    assert look.dataset is look.dataset
    assert sum(look.train_counts) == len(look.dataset.train)


def test_an_archive_is_looked_at_without_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        write(tmp_path / "pets" / "cat" / f"{number}.png", (70, 80))
        write(tmp_path / "pets" / "dog" / f"{number}.png", (70, 80))
    archive = shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path / "pets")

    def decode(*_: object, **__: object) -> None:
        pytest.fail("an image was decoded")

    monkeypatch.setattr("tenfold.data.images.decoding.decode_image", decode)
    assert looked_at(Path(archive)).sizes == ((80, 70),) * 8


def test_a_folder_of_which_nothing_can_be_read_shows_nothing(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(b"no image")
    source, place, _ = find_source(str(tmp_path))
    assert look_at(source, place, SourceOptions(), SilentProgress()) is None
