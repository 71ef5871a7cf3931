"""Tables beside images, in folders and archives, as Hugging Face's imagefolder and others lie."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.source import SourceOptions

COUNTS = {"train": 16, "test": 6}


@pytest.fixture
def folder(image_tree: Callable[..., Path]) -> Path:
    """Give images of two splits, the number in the name being the brightness."""
    return image_tree({f"{s}/{n}.png": n for s, count in COUNTS.items() for n in range(count)})


def _label(number: int) -> str:
    return ("cat", "dog")[number % 2]


def _load(path: Path, name: str) -> ImageDataset:
    source, given, _ = find_source(str(path))
    assert source.name == name
    assert source.fingerprint(given) == source.fingerprint(given)
    dataset = source.load(given, SourceOptions(), SilentProgress())
    assert dataset.classes == ("cat", "dog")
    for split in (dataset.train, dataset.test):
        for image, label in zip(split.images, split.labels, strict=True):
            assert dataset.classes[label] == _label(int(image[0, 0, 0]))
    return dataset


def _csv(split: str, *, below: str = "") -> str:
    rows = [f"{below}{n}.png,{_label(n)}" for n in range(COUNTS[split])]
    return "\n".join(["file_name,label", *rows])


def _metadata(folder: Path) -> None:
    (folder / "train/metadata.csv").write_text(_csv("train"))
    lines = [{"file_name": f"{n}.png", "label": _label(n)} for n in range(COUNTS["test"])]
    (folder / "test/metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))


@pytest.mark.parametrize("is_packed", [False, True])
def test_metadata_in_each_split_s_folder(folder: Path, tmp_path: Path, is_packed: bool) -> None:
    _metadata(folder)
    path = Path(shutil.make_archive(str(tmp_path / "p"), "zip", folder)) if is_packed else folder
    dataset = _load(path, "archive" if is_packed else "table")
    assert (len(dataset.train), len(dataset.test)) == (16, 6)


@pytest.mark.parametrize("is_packed", [False, True])
def test_one_table_beside_a_folder_of_images(folder: Path, tmp_path: Path, is_packed: bool) -> None:
    (folder / "labels.csv").write_text(_csv("train", below="train/"))
    path = Path(shutil.make_archive(str(tmp_path / "p"), "tar", folder)) if is_packed else folder
    dataset = _load(path, "archive" if is_packed else "table")
    assert len(dataset.train) + len(dataset.test) == 16


def test_a_wrong_row_is_named_with_its_table(folder: Path, tmp_path: Path) -> None:
    _metadata(folder)
    with (folder / "train/metadata.csv").open("a") as table:
        table.write("\n160.png,cat")
    path = Path(shutil.make_archive(str(tmp_path / "p"), "zip", folder))
    for place in (folder, path):
        source, given, _ = find_source(str(place))
        with pytest.raises(DataError, match=r"line 18 of train/metadata\.csv: train/160\.png is"):
            source.load(given, SourceOptions(), SilentProgress())
    source, given, _ = find_source(str(path))
    with pytest.raises(DataError, match=r"Did you mean 10\.png|Did you mean 1"):
        source.load(given, SourceOptions(), SilentProgress())


@pytest.mark.parametrize("header", ["file_name,caption,size", "x,y,z"])
def test_folders_of_classes_win_over_a_table_that_knows_no_labels(
    image_tree: Callable[..., Path], header: str
) -> None:
    folder = image_tree({f"{_label(n)}/{n}.png": n for n in range(12)})
    name = "metadata.csv" if header.startswith("file_name") else "labels.csv"
    (folder / name).write_text(f"{header}\ncat/0.png,a cat,3\n")
    assert len(_load(folder, "folder").train) > 0
